"""The controls that rules may name, each with what it asks for, in our words and not its own.

SOC 2: the Trust Services Criteria of 2017 with the points of focus of 2022. PCI DSS: 4.0.1, June 2024. HIPAA: 45 CFR
164.312, technical safeguards. GDPR: Regulation (EU) 2016/679, Article 32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from policies.rule import Framework

CONTROLS: Final[Mapping[Framework, Mapping[str, str]]] = {
    Framework.SOC_2: {
        "CC6.1": "access to protected information is restricted, by identity, by encryption, by keys that are managed",
        "CC6.3": "access is by role, least privilege and separated duties",
        "CC6.6": "the boundary is guarded against threats from outside of it",
        "CC6.7": "information is protected while it is sent, moved or removed",
        "CC6.8": "what is not authorized is kept from running",
        "CC7.1": "changes of the configuration that weaken it are found",
        "CC7.2": "components are watched for anomalies",
        "CC7.3": "security events are evaluated",
        "CC8.1": "changes are authorized, tested and approved before they are made",
        "A1.2": "of the criteria for availability: what is lost can be recovered",
    },
    Framework.PCI_DSS: {
        "1.3.1": "inbound traffic is what is necessary, and all other is denied",
        "1.3.2": "outbound traffic is what is necessary, and all other is denied",
        "1.4.1": "controls stand between trusted and untrusted networks",
        "1.4.2": "inbound traffic from untrusted networks is restricted",
        "1.4.4": "what stores data is not reached directly from untrusted networks",
        "2.2.1": "configuration standards cover all components",
        "2.2.4": "only necessary services and functions are enabled",
        "2.2.6": "security parameters are set so as to prevent misuse",
        "3.5.1": "what is stored can't be read without its key",
        "3.6.1": "access to keys is restricted to the fewest",
        "3.6.1.4": "keys are stored in the fewest places",
        "3.7.1": "strong keys are generated",
        "3.7.4": "a key is changed at the end of its cryptoperiod",
        "3.7.5": "keys are retired, replaced or destroyed when they have to be",
        "3.7.7": "keys are not replaced by somebody else's unnoticed",
        "4.2.1": "what is sent over open networks is strongly encrypted, and only trusted certificates are accepted",
        "6.5.1": "changes of components are made by a procedure, documented and tested",
        "6.5.3": "environments before production are separated from it",
        "7.2.1": "access is by need and by least privilege",
        "7.2.2": "privileges are assigned by function, and the least",
        "7.2.5": "accounts of applications and systems have the least privileges",
        "7.3.1": "access is restricted by need to know, on all components",
        "7.3.2": "permissions are enforced by function",
        "7.3.3": "all access is denied unless it is allowed",
        "8.3.1": "all access is authenticated",
        "8.3.2": "authentication factors are unreadable while they are sent and stored",
        "8.3.6": "a password has twelve characters or more, of letters and digits",
        "8.3.9": "a password that is the only factor is changed every 90 days",
        "8.6.1": "accounts of applications are not used interactively",
        "8.6.2": "passwords of applications are in no script, no configuration and no source",
        "8.6.3": "passwords of applications are changed on a schedule and upon compromise",
        "10.2.1": "audit logs are on, of all components and data",
        "10.2.1.1": "each access to the data is logged",
        "10.2.1.2": "each action of an administrator is logged",
        "10.2.1.4": "each access that was denied is logged",
        "10.2.1.5": "each change of a credential is logged",
        "10.2.1.6": "the starting and stopping of audit logs is logged",
        "10.2.2": "each event has who, what, when, from where and on what",
        "10.3.1": "audit logs are read by those who need them",
        "10.3.2": "audit logs can't be modified",
        "10.3.3": "audit logs are promptly kept where they are difficult to modify",
        "10.3.4": "a change of an audit log is noticed",
        "10.4.1.1": "audit logs are reviewed by machine",
        "10.5.1": "audit logs are kept for 12 months, the last three at hand",
        "10.7.2": "a failure of a critical control is detected and told",
    },
    Framework.HIPAA: {
        "164.312(a)(1)": "access is for those persons and programs that were granted it",
        "164.312(a)(2)(i)": "each user has a unique name",
        "164.312(a)(2)(iii)": "a session ends after a time",
        "164.312(a)(2)(iv)": "data is encrypted and decrypted",
        "164.312(b)": "activity is recorded and can be examined",
        "164.312(c)(1)": "data is protected from improper alteration or destruction",
        "164.312(c)(2)": "it can be shown that data was not altered or destroyed",
        "164.312(d)": "who seeks access is the one claimed",
        "164.312(e)(1)": "data is guarded while it is sent over a network",
        "164.312(e)(2)(i)": "data is not altered unnoticed while it is sent",
        "164.312(e)(2)(ii)": "data is encrypted while it is sent",
    },
    Framework.GDPR: {
        "32(1)(a)": "personal data is pseudonymised and encrypted",
        "32(1)(b)": "confidentiality, integrity, availability and resilience last",
        "32(1)(c)": "availability and access are restored in time after an incident",
        "32(1)(d)": "measures are tested and evaluated regularly",
        "32(4)": "who acts under the controller's authority acts on its instructions",
    },
}
