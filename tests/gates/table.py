"""The reliability gates of every shipped stack: the tests that prove each, and what is not proven, with the reason.

docs/reliability.md is generated from this table. tests/unit/test_gates.py compares it with the files: each shipped
stack has every cell, and each named test exists.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# Gate -> what it shows.
GATES: Mapping[str, str] = {
    "leak": "known test values are only where values belong: not in state, previews, logs, arguments or environments",
    "revert": "after rotations a preview shows no change, so that no `pulumi up` reverts a rotation",
    "crash": "the next tick finishes a rotation that was killed, and readers can log in at any time. Tests on real "
    "parts kill rotations at some of their writes and requests, the simulated year at any of them",
    "load": "no call of a client fails during rotations",
    "bad input": "broken stack files, documents, log lines and answers cause a message, never a traceback",
    "clock": "a clock that jumps causes no second rotation, retires no user too early, and blocks no lease for ever",
    "year": "in a simulated year of hourly ticks, random faults break no invariant",
}


@dataclass(frozen=True)
class Cell:
    """One gate of one stack. `gap` says what is not proven, and why. Without tests and gap, a cell proves nothing."""

    proofs: tuple[str, ...] = ()  # Tests, as FILE::NAME.
    gap: str = ""


NEWCOMER, DEV, STAGING, PROD = (f"tests/stacks/test_{name}.py" for name in ("newcomer", "dev_stack", "staging", "prod"))
AWS, SWARM = "tests/stacks/test_aws_elsewhere.py", "tests/stacks/test_swarm.py"
VAULT, PODS = "tests/stacks/test_vault_local.py", "tests/stacks/test_vault_kubernetes.py"
LEAK, CRASH, CLOUD = "tests/gates/test_leak.py", "tests/gates/test_crash.py", "tests/gates/test_cloud_crash.py"
# Includes the rule that no input of any resource is a value: the state leaks nothing, and reverts nothing.
KEEPS_RULES = "tests/unit/test_policy_pack.py::test_each_stack_that_is_shipped_keeps_every_rule"

NOTHING_AND_NOWHERE = "test_after_rotations_refresh_and_preview_find_nothing_and_no_value_is_anywhere"
IN_A_CLOUD = f"{LEAK}::test_no_value_leaves_its_place_in_a_cloud"
CLOUD_CRASH = f"{CLOUD}::test_rotation_killed_at_an_effect_is_finished_by_the_clouds_next_call"
SWAP, TICK = "tests/gates/test_hot_swap.py", "tests/unit/test_tick.py"
YEAR = "tests/gates/test_simulated_year.py::test_simulated_year_breaks_no_invariant"
FETCHED = f"{SWAP}::test_no_call_fails_when_the_launcher_polls_a_clouds_store"
FILES = f"{SWAP}::test_no_call_fails_while_every_credential_changes"

NO_DEPLOYMENT = (
    "no test deploys this pair of store and server, but tests deploy its parts in other pairs: store, rotator and "
    "trail in {store}, the server in {server}"
)
# By stack file.
LOADS: Mapping[str, Cell] = {
    "Pulumi.dev.yaml": Cell((FILES,
                             "tests/gates/test_load.py::test_rotations_under_reconnecting_threads_fail_no_connect",
             "tests/gates/test_import.py::test_no_call_fails_from_the_env_file_to_the_first_rotation")),
    "Pulumi.staging.yaml": Cell((f"{STAGING}::test_three_rotations_reach_every_pod_which_goes_on_with_its_clients",
          FILES), "a stand-in for the kubelet runs the pods"),
    "Pulumi.prod.yaml": Cell(
        (f"{PROD}::test_three_new_versions_in_a_minute_are_one_deployment", FETCHED),
        "with reference NativeRef clients change over when ECS replaces the tasks, and the tests have no ECS",
    ),
    "examples/Pulumi.prod-azure.yaml": Cell((FETCHED,),
         "the tests have no Container Apps: the launcher runs as a process"),
    "examples/Pulumi.prod-swarm.yaml": Cell((f"{SWARM}::test_no_call_fails_while_two_replicas_are_rotated",)),
    "examples/Pulumi.prod-vault-kubernetes.yaml": Cell(
        (f"{PODS}::test_three_rotations_reach_every_pod_which_goes_on_with_its_clients", FILES),
        "a stand-in for the kubelet runs the pods",
    ),
    "examples/Pulumi.prod-aws-kubernetes.yaml": Cell((FILES,),
         "External Secrets does not run: the test writes the files that it would deliver, once"),
    "examples/Pulumi.prod-azure-kubernetes.yaml": Cell((FILES,),
         "External Secrets does not run: the test changes files that a launcher reads"),
    **{f"examples/Pulumi.{name}.yaml": Cell((FETCHED,))
       for name in ("dev-aws-local", "dev-azure-local", "dev-vault-local")},
    **{f"examples/Pulumi.{name}.yaml": Cell((FETCHED,),
          "the launcher does not run as replicas of a Swarm: the test runs one launcher by itself")
       for name in ("prod-aws-swarm", "prod-vault-swarm")},
}  # fmt: skip

LEAKS: Mapping[str, Cell] = {
    "Pulumi.dev.yaml": Cell((
        f"{LEAK}::test_no_value_leaves_its_place_on_a_broker",
        f"{DEV}::test_values_are_in_no_state_preview_or_log_and_no_preview_changes_them",
        "tests/gates/test_leak_incident.py::test_no_value_leaves_its_place_when_a_stack_is_compromised",
    )),
    "Pulumi.staging.yaml": Cell((f"{STAGING}::{NOTHING_AND_NOWHERE}",)),
    "Pulumi.prod.yaml": Cell((f"{PROD}::{NOTHING_AND_NOWHERE}", IN_A_CLOUD)),
    "examples/Pulumi.prod-azure.yaml": Cell((f"{PROD}::{NOTHING_AND_NOWHERE}", IN_A_CLOUD)),
    "examples/Pulumi.prod-swarm.yaml": Cell((f"{SWARM}::test_no_value_is_visible_in_the_swarm",)),
    "examples/Pulumi.prod-vault-kubernetes.yaml": Cell((f"{PODS}::{NOTHING_AND_NOWHERE}", IN_A_CLOUD)),
    "examples/Pulumi.dev-vault-local.yaml": Cell((
        f"{VAULT}::test_no_value_token_or_secret_id_is_in_state_previews_or_output",
        IN_A_CLOUD,
    )),
    "examples/Pulumi.dev-aws-local.yaml": Cell((
        f"{AWS}::test_local_client_serves_on_a_value_rotated_in_aws",
        IN_A_CLOUD,
    )),
    "examples/Pulumi.prod-aws-kubernetes.yaml": Cell((f"{AWS}::test_pods_serve_what_external_secrets_copies",
          IN_A_CLOUD)),
    "examples/Pulumi.dev-azure-local.yaml": Cell((KEEPS_RULES, IN_A_CLOUD),
         NO_DEPLOYMENT.format(store="prod-azure", server="dev-vault-local")),
    "examples/Pulumi.prod-azure-kubernetes.yaml": Cell((KEEPS_RULES, IN_A_CLOUD),
         NO_DEPLOYMENT.format(store="prod-azure", server="prod-aws-kubernetes")),
    "examples/Pulumi.prod-aws-swarm.yaml": Cell((KEEPS_RULES, IN_A_CLOUD),
         NO_DEPLOYMENT.format(store="prod", server="prod-swarm")),
    "examples/Pulumi.prod-vault-swarm.yaml": Cell((KEEPS_RULES, IN_A_CLOUD),
         NO_DEPLOYMENT.format(store="dev-vault-local", server="prod-swarm")),
}  # fmt: skip

# The tests that search for values after three rotations also check for an empty preview.
REVERTS: Mapping[str, Cell] = {
    **{stack: Cell(tuple(one for one in cell.proofs if one != IN_A_CLOUD), cell.gap) for stack, cell in LEAKS.items()},
    "Pulumi.dev.yaml": Cell((f"{NEWCOMER}::test_a_preview_wants_no_changes_after_ten_rotations",)),
    "examples/Pulumi.prod-swarm.yaml": Cell(
        (f"{SWARM}::test_after_rotations_no_task_is_on_an_old_version_and_no_secret_is_left",)
    ),
}

STORE_CRASHES = (
    "tests/contract/test_stores.py::test_rotator_with_a_lost_lease_does_not_publish",
    "tests/contract/test_stores.py::test_killed_publish_leaves_one_whole_value_to_readers",
    YEAR,
)
CLOUD_CRASHES = (CLOUD_CRASH, *STORE_CRASHES)
ROTATION_STEPS = "tests/contract/test_rotation_steps.py::test_call_of_a_step_is_idempotent_and_refused_out_of_order"

CRASHES: Mapping[str, Cell] = {
    "Pulumi.dev.yaml": Cell((
        f"{CRASH}::test_rotation_killed_at_an_effect_ends_by_a_tick",
        YEAR,
        "tests/gates/test_compromise_crash.py::test_compromise_killed_at_an_effect_is_continued_to_its_end",
        "tests/gates/test_interrupts.py::test_sigint_ends_with_130_and_the_next_tick_converges",
    )),
    "Pulumi.staging.yaml": Cell(("tests/gates/test_kubernetes.py::test_rotation_killed_three_times_ends_by_a_tick",
          "tests/gates/test_kubernetes.py::test_restarted_api_server_only_delays", *STORE_CRASHES)),
    "examples/Pulumi.prod-swarm.yaml": Cell((f"{SWARM}::test_manager_killed_in_mid_rotation_only_delays_it",
          f"{SWARM}::test_leftovers_of_killed_commands_are_removed_by_a_tick"),
         "the tests kill managers and commands at chosen moments, not before and after each write"),
}  # fmt: skip


def _cells(stack: str) -> Iterator[tuple[str, Cell]]:
    yield "leak", LEAKS[stack]
    yield "revert", REVERTS[stack]
    on_aws = stack == "Pulumi.prod.yaml" or "-aws-" in stack
    yield "crash", CRASHES.get(stack, Cell((*CLOUD_CRASHES, ROTATION_STEPS) if on_aws else CLOUD_CRASHES))
    yield "load", LOADS[stack]
    yield (
        "bad input",
        Cell(
            (
                "tests/unit/test_random_stack_files.py::test_a_stack_file_with_anything_in_one_place_is_accepted_or_refused",
                "tests/unit/test_broken_stack_files.py::test_a_broken_stack_file_is_refused_with_each_of_its_errors",
                "tests/unit/test_random_documents.py::test_a_random_document_is_read_skipped_or_reported_with_its_place",
                "tests/unit/test_random_audit_lines.py::test_a_line_of_anything_is_counted_or_refused_in_the_log_of",
                "tests/unit/test_random_replies.py::test_mosquittos_plugin_may_answer_anything",
                "tests/gates/test_audit_stream.py::test_audit_of_a_long_stream_takes_no_more_memory_than_a_short_one",
            )
        ),
    )
    yield (
        "clock",
        Cell(
            (
                f"{TICK}::test_clock_that_jumps_back_rotates_nothing_again_and_retires_nobody_early",
                f"{TICK}::test_clock_that_jumps_ahead_rotates_once_and_is_reported",
                f"{TICK}::test_lease_of_a_dead_holder_with_a_future_time_is_acquired_at_once",
            ),
            ""
            if stack == "Pulumi.dev.yaml"
            else "the code that decides is the same for all stores, and is tested on a folder; no test changes the "
            "clock of a store's own server",
        ),
    )
    yield (
        "year",
        Cell(
            (YEAR,),
            "store, broker and agent are fakes in memory; the year measures a secret's age from its publication, and "
            "counts a problem as reported if the last tick's exit code or `secretops status` shows it",
        ),
    )


# Stack file -> gate -> its proofs.
TABLE: Mapping[str, Mapping[str, Cell]] = {stack: dict(_cells(stack)) for stack in LEAKS}


def files() -> list[str]:
    named = {proof.partition("::")[0] for cells in TABLE.values() for cell in cells.values() for proof in cell.proofs}
    return sorted(named)


if __name__ == "__main__":
    print(*files())
