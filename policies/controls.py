"""Controls of compliance frameworks that the rules serve: a summary of each, and where its text is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from policies.rule import Control, Framework


@dataclass(frozen=True)
class Text:
    name: str
    url: str
    """Page of the framework. `{id}` stands for a control's id, if each control has an anchor."""
    read: str
    """The copy against which the ids were checked, and the parts that nobody read."""
    scope: str
    """How the framework's subject differs from what rules judge."""


TEXTS: Final[Mapping[Framework, Text]] = {
    Framework.SOC_2: Text(
        "AICPA, 2017 Trust Services Criteria with revised points of focus (2022)",
        "https://www.aicpa-cima.com/resources/download/2017-trust-services-criteria-with-revised-points-of-focus-2022",
        "The publisher requires a free account. We checked each id against the criteria that "
        "[Turbot quotes](https://github.com/turbot/steampipe-mod-aws-compliance/tree/main/soc_2), and did not read the "
        "points of focus.",
        "The criteria are about what a whole organization does. A rule shows one measure of one stack.",
    ),
    Framework.PCI_DSS: Text(
        "PCI Security Standards Council, PCI DSS 4.0.1 (June 2024)",
        "https://www.pcisecuritystandards.org/document_library/?category=pcidss",
        "The publisher requires that you accept its license. We checked each id against public copies, such as "
        "[Microsoft's of version 4.0](https://learn.microsoft.com/entra/standards/pci-dss-guidance), and did not read "
        "the guidance.",
        "Rules serve requirements on systems and their accounts. No rule serves a requirement on card data itself, "
        "such as 1.4.4, 3.5.1 or 10.2.1.1, or on the keys that protect it (3.6 and 3.7). A server, its rotator and "
        "their broker users are application accounts, so 8.6 applies to their passwords; 8.3.1, 8.3.6 and 8.3.9 are "
        "for people. 8.6.2 applies because any MQTT client, and so a person, can log in as a broker user.",
    ),
    Framework.HIPAA: Text(
        "45 CFR 164.312, Technical safeguards",
        "https://www.ecfr.gov/current/title-45/section-164.312#p-{id}",
        "We checked each id against [a public copy](http://web.interhack.com/publications/hipaasec-rule164.312.php), "
        "and did not read the current edition at eCFR.",
        "The section is about health information. Rules protect the credentials of systems that may contain it.",
    ),
    Framework.GDPR: Text(
        "Regulation (EU) 2016/679, Article 32, Security of processing",
        "https://eur-lex.europa.eu/eli/reg/2016/679/oj#art_32",
        "We checked each id against [GDPRhub's copy](https://gdprhub.eu/index.php?title=Article_32_GDPR), and did not "
        "read it at EUR-Lex.",
        "The article is about personal data. Rules protect the credentials of systems that may contain such data.",
    ),
}

CONTROLS: Final[Mapping[Framework, Mapping[str, str]]] = {
    Framework.SOC_2: {
        "CC6.1": "restrict access to protected information: identify users, encrypt data, manage keys and credentials",
        "CC6.3": "grant and remove access by role, with least privilege and separation of duties",
        "CC6.6": "protect the system against threats from outside its boundary",
        "CC6.7": "restrict the transmission, movement and removal of information, and protect it while it moves",
        "CC6.8": "prevent or detect unauthorized and malicious software",
        "CC7.1": "detect changes of the configuration that introduce vulnerabilities",
        "CC7.2": "monitor components for anomalies",
        "CC7.3": "evaluate security events",
        "CC8.1": "authorize, test and approve changes before they are made",
        "A1.2": "availability: maintain backups and the means to recover",
    },
    Framework.PCI_DSS: {
        "1.3.1": "allow only necessary traffic into the cardholder data environment",
        "1.3.2": "allow only necessary traffic out of the cardholder data environment",
        "1.4.1": "put network security controls between trusted and untrusted networks",
        "1.4.2": "restrict traffic from untrusted to trusted networks",
        "2.2.1": "apply configuration standards to all components",
        "2.2.4": "enable only necessary services and functions",
        "2.2.6": "configure security parameters to prevent misuse",
        "4.2.1": "encrypt card data on open networks, and accept only trusted, valid and unrevoked certificates",
        "6.5.1": "change production by a procedure with a reason, an approval, tests and a rollback plan",
        "6.5.3": "separate pre-production environments from production",
        "7.2.1": "define an access model by business need, function and least privilege",
        "7.2.2": "assign access to people by function and least privilege",
        "7.2.5": "give application accounts the least privileges, for only the systems that need them",
        "7.3.1": "restrict access by need to know, on all components",
        "7.3.2": "enforce the permissions of people, applications and systems",
        "7.3.3": "deny all access by default",
        "8.3.2": "encrypt authentication factors strongly in transit and at rest",
        "8.6.1": "prevent people from using application accounts interactively",
        "8.6.2": "hard-code no password of an application account that allows interactive login",
        "8.6.3": "change passwords of application accounts on a schedule and after a compromise; make them complex",
        "10.2.1": "enable audit logs for all components",
        "10.2.1.2": "log actions of administrators, and interactive use of application accounts",
        "10.2.1.4": "log invalid access attempts",
        "10.2.1.5": "log changes of credentials",
        "10.2.1.6": "log the start, stop and pause of audit logs",
        "10.2.2": "record who did what, when, from where, on which resource, and with what result",
        "10.3.1": "restrict reads of audit logs to those who need them",
        "10.3.2": "protect audit logs from modification",
        "10.3.3": "copy audit logs promptly to a place where they are difficult to modify",
        "10.3.4": "detect and report changes of audit logs",
        "10.4.1.1": "review audit logs automatically",
        "10.5.1": "retain audit logs for 12 months, the last three of them ready for analysis",
        "10.7.2": "detect and report failures of critical security controls",
    },
    Framework.HIPAA: {
        "164.312(a)(1)": "allow access only to people and programs that have a grant",
        "164.312(a)(2)(i)": "identify each user by a unique name",
        "164.312(a)(2)(iii)": "end a session after a set time of inactivity",
        "164.312(a)(2)(iv)": "encrypt and decrypt data",
        "164.312(b)": "record and examine activity",
        "164.312(c)(1)": "protect data from improper alteration and destruction",
        "164.312(d)": "verify that a person or program is who or what it claims to be",
        "164.312(e)(1)": "protect transmitted data from unauthorized access",
        "164.312(e)(2)(i)": "detect alterations of transmitted data",
        "164.312(e)(2)(ii)": "encrypt transmitted data where appropriate",
    },
    Framework.GDPR: {
        "32(1)(a)": "pseudonymize and encrypt personal data",
        "32(1)(b)": "ensure ongoing confidentiality, integrity, availability and resilience",
        "32(1)(c)": "restore availability and access in time after an incident",
        "32(1)(d)": "test and evaluate the measures regularly",
        "32(4)": "people with access to personal data process it only on the controller's instructions",
    },
}

_FRAMEWORKS = {control: framework for framework, asks in CONTROLS.items() for control in asks}


def controls(ids: str, because: str) -> tuple[Control, ...]:
    """Return the controls with these ids, separated by spaces. `because` explains how a rule serves them."""
    return tuple(Control(_FRAMEWORKS[control], control, because) for control in ids.split())
