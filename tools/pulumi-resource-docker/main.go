// The Pulumi provider for Docker: the Terraform provider that Pulumi's own is made from, bridged as theirs is.
package main

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"

	"github.com/terraform-providers/terraform-provider-docker/shim"
)

// The version of the Python package: tools/docker_provider.py sets it.
var version string

func main() {
	resources := map[string]*tfbridge.ResourceInfo{}
	for name, token := range map[string]string{
		"docker_buildx_builder": "buildxBuilder:BuildxBuilder",
		"docker_config":         "serviceConfig:ServiceConfig",
		"docker_container":      "container:Container",
		"docker_image":          "remoteImage:RemoteImage",
		"docker_network":        "network:Network",
		"docker_plugin":         "plugin:Plugin",
		"docker_registry_image": "registryImage:RegistryImage",
		"docker_secret":         "secret:Secret",
		"docker_service":        "service:Service",
		"docker_tag":            "tag:Tag",
		"docker_volume":         "volume:Volume",
	} {
		resources[name] = &tfbridge.ResourceInfo{Tok: tokens.Type("docker:index/" + token)}
	}
	provider := tfbridge.ProviderInfo{
		P:         sdkv2.NewProvider(shim.New(version)),
		Name:      "docker",
		Version:   version,
		Resources: resources,
		Config:    map[string]*tfbridge.SchemaInfo{"registry_auth": {Name: "registryAuth"}},
		// No program of ours asks for one.
		IgnoreMappings: []string{"docker_registry_image_manifests", "docker_logs"},
	}
	tfbridge.Main("docker", version, provider, []byte(`{"name": "docker", "version": "`+version+`"}`))
}
