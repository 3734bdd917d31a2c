// Package shim reaches what its module keeps internal: the build lays it into the sources (tools/docker_provider.py).
package shim

import (
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"

	"github.com/terraform-providers/terraform-provider-docker/internal/provider"
)

// New is the Terraform provider for Docker, without what Pulumi's SDK has no resource for.
func New(version string) *schema.Provider { return provider.New(version)() }
