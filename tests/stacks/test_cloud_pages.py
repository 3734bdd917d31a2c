"""The clouds' pages, followed word for word in a new clone, without any cloud account."""

import pytest

from tests.stacks.prod import OF_CLOUDS
from tests.stacks.runbook import ROOT, Clone, Page, new_clone
from tests.unit.harness import ca_file

pytestmark = [pytest.mark.real, pytest.mark.slow]

CA = "/etc/ssl/certs/prod-ca.crt"  # The broker's name in the shipped stack files.


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    ca = str(ca_file(tmp_path_factory.mktemp("ca")))
    shipped = {"Pulumi.prod.yaml": "Pulumi.prod.yaml", "Pulumi.prod-azure.yaml": "examples/Pulumi.prod-azure.yaml"}
    files = {name: (ROOT / path).read_text().replace(CA, ca) for name, path in shipped.items()}
    made = new_clone(tmp_path_factory.mktemp("clone") / "coreflux-mcp-secrets", files)
    nowhere = str(made.folder / "nobody")
    made.environment |= {
        **dict.fromkeys(("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AZURE_CONFIG_DIR"), nowhere),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    made.without = OF_CLOUDS
    return made


def test_cloud_pages_preview_their_stacks_on_stand_ins(clone: Clone) -> None:
    page = Page(clone, "aws.md")
    output = page.follow("make lambda")
    page.is_followed_to_its_end()
    assert (clone.folder / "dist/lambda.zip").is_file()
    assert "prod runs on the STAND-IN for AWS: no credentials found" in output
    assert "encryptionsalt" in (clone.folder / "Pulumi.prod.yaml").read_text(), "as the page says"

    page = Page(clone, "azure.md")
    assert "prod-azure runs on the STAND-IN for Azure: no credentials found" in page.follow("make preview")
    page.is_followed_to_its_end()
    refused = clone.sh("make up STACK=prod YES=1")
    assert refused.returncode != 0
    assert "deploys nothing" in refused.stdout + refused.stderr
