"""Which channel writes in which form? One row each.

``FORMS`` are those that the courier carries over HTTP; her unit (UNIT) is told by ``alerts.downlink``, which says
orders and not alerts. ``SPOKEN`` is written, examined like the others, and has no carrier in this release
(``alerts.voice``).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from alerts.channels import operations, police, spoken, teleassistance
from alerts.channels.form import Form
from tocsin.model.episode import Channel

FORMS: Final[Mapping[Channel, Form]] = MappingProxyType(
    {
        Channel.TELEASSISTANCE: teleassistance.FORM,
        Channel.POLICE: police.FORM,
        Channel.OPERATIONS: operations.FORM,
    }
)
SPOKEN: Final = spoken.FORM

assert set(FORMS) | {Channel.UNIT} == set(Channel), "every channel has its form"
assert [form.name for form in FORMS.values() if form.tells_places] == [Channel.POLICE.value]
