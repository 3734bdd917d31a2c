"""A service with a network and a config, whose list of secrets somebody else moves.

`DECLARED`: "read" declares the list that the service has, and leaves it out of previews, as components/swarm does;
"ignored" rests on the engine's ignore_changes alone.
"""

import os

import pulumi
import pulumi_docker as docker

from secretops.stores.swarm.attached import attached

NAME = "moved"
LIST = "taskSpec.containerSpec.secrets"
ENDS_WHEN_ASKED = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); signal.pause()"

read = os.environ["DECLARED"] == "read"
preview = pulumi.runtime.is_dry_run()
found = attached(NAME) if read and not preview else ()

provider = docker.Provider("daemon", host=os.environ["DOCKER_HOST"], disable_docker_daemon_check=True)
on_daemon = pulumi.ResourceOptions(provider=provider)
network = docker.Network(NAME, name=NAME, driver="overlay", opts=on_daemon)
config = docker.ServiceConfig(NAME, name=NAME, data_raw="public", opts=on_daemon)
docker.Service(
    NAME,
    name=NAME,
    mode=docker.ServiceModeArgs(replicated=docker.ServiceModeReplicatedArgs(replicas=int(os.environ["REPLICAS"]))),
    task_spec=docker.ServiceTaskSpecArgs(
        container_spec=docker.ServiceTaskSpecContainerSpecArgs(
            image=os.environ["IMAGE"],
            commands=["python3", "-c", ENDS_WHEN_ASKED],
            user="10001:10001",
            read_only=True,
            stop_grace_period="1m",
            configs=[
                docker.ServiceTaskSpecContainerSpecConfigArgs(
                    config_id=config.id, config_name=config.name, file_name="/etc/public", file_mode=0o444
                )
            ],
            secrets=[
                docker.ServiceTaskSpecContainerSpecSecretArgs(
                    secret_id=one.secret_id,
                    secret_name=one.secret_name,
                    file_name=one.file_name,
                    file_uid=one.uid,
                    file_gid=one.gid,
                    file_mode=one.mode,
                )
                for one in found
            ],
        ),
        # All of it: what is not said the provider makes 0 at the next update, and each task is replaced for that.
        restart_policy=docker.ServiceTaskSpecRestartPolicyArgs(
            condition="any", delay="1s", max_attempts=0, window="0s"
        ),
        networks_advanceds=[docker.ServiceTaskSpecNetworksAdvancedArgs(id=network.id)],
    ),
    endpoint_spec=docker.ServiceEndpointSpecArgs(mode="dnsrr"),
    opts=pulumi.ResourceOptions(provider=provider, ignore_changes=[LIST] if preview or not read else None),
)
