"""What does an operator do, in which order and in which words? [conduite à tenir]

What is said to the wearer is a function of the zone alone: never a direction, a distance, a place or the hour at
which anybody was where (invariant 5). What is said to the protected person gives no position of his either.
"""

from __future__ import annotations

from typing import Final

from alerts.catalogue.row import ASSESS_S, CALL_WEARER_S, HAND_OFF_S, REJOIN_S, Step, Who

_M, _A, _S, _T = Who.MONITOR, Who.TELEASSISTANT, Who.SUPERVISOR, Who.TECHNICAL

_POLICE = Step(
    id="police",
    who=_A,
    do_fr="Transmettre au CIC ou au CORG du lieu de la personne protégée, avec les dernières positions, leur âge "
    "et leur précision.",
    say_fr="Alerte de protection. Je vous donne la dernière position connue, son heure et sa précision.",
    within_s=HAND_OFF_S,
)
_ANSWER = Step(
    id="answer",
    who=_A,
    do_fr="Répondre.",
    say_fr="Téléassistance, je suis avec vous. Pouvez-vous parler ?",
    within_s=ASSESS_S,
)
_ASSESS = Step(id="assess", who=_A, do_fr="Lever le doute.", say_fr="Êtes-vous en danger ? Est-il près de vous ?")
_LOCATE = Step(
    id="locate", who=_A, do_fr="Lire la dernière position, son âge et sa précision.", say_fr="Où êtes-vous ?"
)
_SAFE = Step(
    id="make_safe",
    who=_A,
    do_fr="Appeler la personne protégée et la mettre en sécurité, sans lui dire où il est.",
    say_fr="Il s'est rapproché. Restez ou entrez dans un lieu fermé, avec d'autres si vous le pouvez. Je reste "
    "avec vous.",
)
_TURN_BACK = Step(
    id="order_back",
    who=_M,
    do_fr="Appeler le porteur et lui ordonner de s'éloigner, sans direction ni distance.",
    say_fr="Vous êtes dans une zone qui vous est interdite. Faites demi-tour et éloignez-vous maintenant.",
)
_CALL_WEARER = Step(
    id="call_wearer",
    who=_M,
    do_fr="Appeler le porteur, par tout numéro connu.",
    say_fr="Votre dispositif ne fonctionne plus comme il doit. Gardez-le avec vous, chargé et à ciel ouvert.",
)
_ASK_FIX = Step(id="ask_position", who=_M, do_fr="Demander une position à l'unité.")
_TELL_HER = Step(
    id="tell_protected",
    who=_A,
    do_fr="Prévenir la personne protégée que la protection est dégradée, et jusqu'à quand la rappeler.",
    say_fr="Pour l'instant nous ne pouvons pas garantir votre protection à distance. Restez joignable ; je vous "
    "rappelle.",
)
_PROSECUTOR = Step(
    id="prosecutor", who=_S, do_fr="Mesure civile : rendre compte au parquet, à chaque franchissement."
)

KEY: Final = (_ANSWER, _ASSESS, _LOCATE, _POLICE)
KEY_BAR: Final = (
    _ANSWER,
    _ASSESS,
    Step(id="distance", who=_M, do_fr="Lire la distance du porteur, son âge et sa précision."),
    _LOCATE,
    _POLICE,
)
KEY_SILENT: Final = (
    Step(id="keep_line", who=_A, do_fr="Garder la ligne ouverte, écouter, ne pas rappeler à voix haute."),
    _LOCATE,
    _POLICE,
)
CROSSED: Final = (_SAFE, _POLICE, _TURN_BACK, _PROSECUTOR)
CONTACT: Final = (_SAFE, _POLICE)
PREALERT: Final = (
    Step(
        id="order_back",
        who=_M,
        do_fr="Appeler le porteur à l'heure indiquée ; aucune direction, aucune distance, aucun lieu.",
        say_fr="Vous êtes en zone de pré-alerte. Faites demi-tour et éloignez-vous maintenant.",
        within_s=CALL_WEARER_S,
    ),
    Step(id="watch", who=_M, do_fr="Suivre : sans réponse, refus ou rapprochement 60 s après l'ordre, alerter."),
)
IMMINENT: Final = (
    Step(
        id="order_back",
        who=_M,
        do_fr="Appeler le porteur sans plus attendre ; aucune direction, aucune distance, aucun lieu.",
        say_fr="Éloignez-vous immédiatement.",
    ),
    Step(
        id="prepare", who=_A, do_fr="Préparer l'appel à la personne protégée et la transmission au CIC ou au CORG."
    ),
)
NO_ANSWER: Final = (_SAFE, _POLICE)
PLACE: Final = (
    Step(
        id="order_out",
        who=_M,
        do_fr="Appeler le porteur et lui ordonner de quitter le lieu.",
        say_fr="Vous êtes dans un lieu qui vous est interdit. Quittez-le maintenant.",
    ),
)
PLACE_NEAR: Final = (Step(id="watch", who=_M, do_fr="Suivre sa progression, sans lui nommer le lieu."),)
STAY: Final = (
    Step(
        id="order_in",
        who=_M,
        do_fr="Appeler le porteur et lui ordonner de retourner au lieu fixé.",
        say_fr="Vous devez être au lieu fixé par le magistrat à cette heure. Retournez-y maintenant.",
    ),
)
TAMPER: Final = (
    _SAFE,
    _CALL_WEARER,
    _POLICE,
    Step(id="inspect", who=_M, do_fr="Faire inspecter le bracelet sur son porteur, puis seulement clore."),
)
SEPARATED: Final = (
    Step(
        id="rejoin",
        who=_M,
        do_fr="Ordonner au porteur de rejoindre son unité.",
        say_fr="Votre bracelet ne capte plus votre boîtier. Rejoignez-le maintenant et gardez-le sur vous.",
        within_s=REJOIN_S,
    ),
    _TELL_HER,
)
DEGRADED: Final = (_TELL_HER, _CALL_WEARER)
SUSPECTED: Final = (
    _TELL_HER,
    _CALL_WEARER,
    Step(id="technical", who=_T, do_fr="Examiner les mesures radio et cellulaires de l'unité."),
)
OFF: Final = (_CALL_WEARER, _TELL_HER)
SILENT_WEARER: Final = (_ASK_FIX, _CALL_WEARER)
SILENT_PROTECTED: Final = (
    Step(
        id="call_protected",
        who=_A,
        do_fr="Appeler son propre téléphone.",
        say_fr="Votre dispositif ne nous répond plus. Allez-vous bien ? Est-il allumé et avec vous ?",
    ),
    Step(
        id="call_contact",
        who=_A,
        do_fr="Sans réponse : appeler le contact de confiance.",
        say_fr="Nous cherchons à joindre votre proche. Pouvez-vous lui demander de nous rappeler ?",
    ),
)
CHARGE: Final = (
    Step(
        id="charge",
        who=_M,
        do_fr="Appeler le porteur.",
        say_fr="La batterie de votre dispositif est presque vide. Mettez-le en charge maintenant.",
    ),
)
REVIEW: Final = (
    Step(id="review", who=_S, do_fr="Examiner les entrées de la semaine et leurs directions."),
    Step(id="hold_calls", who=_S, do_fr="Suspendre l'appel au porteur au seul franchissement de la pré-alerte."),
    Step(id="judge", who=_S, do_fr="Prévenir le SPIP."),
)
SWAP: Final = (
    _ASK_FIX,
    Step(id="swap", who=_T, do_fr="Faire contrôler ou remplacer l'unité."),
)
CLOCK: Final = (Step(id="set_clock", who=_T, do_fr="Remettre l'unité à l'heure."),)
COURTESY: Final = (
    Step(
        id="courtesy",
        who=_A,
        do_fr="Appel de courtoisie.",
        say_fr="Bonjour, nous vérifions que votre dispositif est bien avec vous et qu'il fonctionne.",
    ),
)
PHONE_SILENT: Final = (
    *COURTESY,
    Step(id="swap", who=_A, do_fr="Organiser l'échange du téléphone s'il le faut."),
)
RECORD: Final = (
    Step(id="no_police", who=_S, do_fr="Aucune alerte en cours : ne pas alerter le CIC ni le CORG."),
    Step(id="report", who=_S, do_fr="Consigner et rendre compte."),
)
REPAIR: Final = (
    Step(id="repair", who=_S, do_fr="Faire cesser le défaut."),
    Step(id="judge", who=_S, do_fr="Informer le magistrat."),
)
FIT: Final = (
    Step(id="fit", who=_S, do_fr="Organiser la pose."),
    Step(id="judge", who=_S, do_fr="Informer le magistrat."),
)
EXPIRE: Final = (
    Step(id="judge", who=_S, do_fr="Informer le magistrat du terme."),
    Step(id="prepare", who=_S, do_fr="Préparer la restitution ou la prolongation."),
)
TEST: Final = (
    Step(
        id="arrange_test",
        who=_A,
        do_fr="Convenir d'un essai.",
        say_fr="Bonjour, essayons ensemble votre téléphone. En cas de danger, appuyez toujours : ce ne sera "
        "jamais pris pour un essai.",
    ),
)
OUTAGE: Final = (
    Step(id="plan", who=_S, do_fr="Déclencher le plan de panne."),
    Step(id="rank", who=_S, do_fr="Traiter les binômes dans l'ordre de la liste, le plus menacé d'abord."),
    Step(id="carrier", who=_T, do_fr="Ouvrir un incident auprès de l'opérateur ou du fournisseur."),
)
VOICE: Final = (
    Step(id="voice", who=_S, do_fr="Passer au téléphone : toute alerte se transmet de vive voix."),
    Step(id="restore", who=_T, do_fr="Rétablir ; dire au superviseur quand c'est fait."),
)
NOTHING: Final[tuple[Step, ...]] = ()
