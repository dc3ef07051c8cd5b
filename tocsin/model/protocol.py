"""What has this site agreed with its police and its téléassistance? (DOMAIN section 4, escalation)

Handed to the desk as the realm is; a setting of the deployment.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PoliceMode(StrEnum):
    """When the rooms of the police are told. OPERATOR_CONFIRMED: on a human's word alone. AUTO_PREADVICE: at once,
    marked as not verified. AUTO_ON_TIMEOUT: when no human has decided in time, marked so; before that on his
    word."""

    OPERATOR_CONFIRMED = "operator_confirmed"
    AUTO_PREADVICE = "auto_preadvice"
    AUTO_ON_TIMEOUT = "auto_on_timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    police_mode: PoliceMode = PoliceMode.AUTO_ON_TIMEOUT


AS_AGREED = Protocol()
"""The default of the settings."""
