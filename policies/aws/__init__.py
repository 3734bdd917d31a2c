"""Rules for AWS, the types of resources that more than one module judges, and the controls that several rules serve."""

from policies.rule import Control, Framework

STORE = "coreflux-mcp-secrets:aws:SecretStore"
SECRET, SECRET_POLICY = "aws:secretsmanager/secret:Secret", "aws:secretsmanager/secretPolicy:SecretPolicy"
KEY, ROLE = "aws:kms/key:Key", "aws:iam/role:Role"
FUNCTION, SCHEDULE = "aws:lambda/function:Function", "aws:scheduler/schedule:Schedule"
QUEUE, TOPIC, TOPIC_POLICY = "aws:sqs/queue:Queue", "aws:sns/topic:Topic", "aws:sns/topicPolicy:TopicPolicy"
BUCKET, TRAIL = "aws:s3/bucket:Bucket", "aws:cloudtrail/trail:Trail"
LOG, FILTER = "aws:cloudwatch/logGroup:LogGroup", "aws:cloudwatch/logMetricFilter:LogMetricFilter"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"

GRANTED = Control(Framework.HIPAA, "164.312(a)(1)", "only those who were granted access have it")
CONFIDENTIAL = Control(Framework.GDPR, "32(1)(b)", "ongoing confidentiality")
LEAST = Control(Framework.PCI_DSS, "7.2.5", "application accounts have the least privileges")
EXAMINED = Control(Framework.HIPAA, "164.312(b)", "activity is recorded and examined")
REVIEWED = Control(Framework.PCI_DSS, "10.4.1.1", "records are reviewed by a mechanism")
TESTED = Control(Framework.GDPR, "32(1)(d)", "whether a measure works is tested regularly")
INTACT = Control(Framework.HIPAA, "164.312(c)(1)", "no improper alteration or destruction")
OUTSIDE = (
    Control(Framework.SOC_2, "CC6.6", "no access from outside"),
    Control(Framework.PCI_DSS, "1.4.4", "stored data can't be reached from untrusted networks"),
    GRANTED,
)
ENCRYPTED = (
    Control(Framework.SOC_2, "CC6.1", "data is encrypted at rest, by managed keys"),
    Control(Framework.HIPAA, "164.312(a)(2)(iv)", "stored data is encrypted"),
    Control(Framework.GDPR, "32(1)(a)", "encryption"),
)
TRANSMITTED = (
    Control(Framework.SOC_2, "CC6.7", "transmission is protected"),
    Control(Framework.PCI_DSS, "4.2.1", "strong cryptography in transmission"),
    Control(Framework.HIPAA, "164.312(e)(1)", "no access to data in transmission"),
    Control(Framework.GDPR, "32(1)(a)", "encryption"),
)
ALERTED = (
    Control(Framework.SOC_2, "CC7.2", "anomalies and failures are noticed"),
    Control(Framework.PCI_DSS, "10.7.2", "failures of a control are detected and alerted"),
    EXAMINED,
)
CREDENTIALS = (
    Control(Framework.SOC_2, "CC6.1", "credentials are in one store"),
    Control(Framework.PCI_DSS, "8.6.2", "no password in a configuration"),
    Control(Framework.HIPAA, "164.312(a)(1)", "only readers of the secret read its value"),
    CONFIDENTIAL,
)
