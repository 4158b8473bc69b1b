// Package settings are what a platform team says once about its cluster: which
// clouds it is in, and which team may use what.
package settings

import (
	"fmt"
	"maps"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/serviceconnections/function-service-connections/input/v1beta1"
)

// Settings with their defaults applied, valid.
type Settings struct {
	v1beta1.Settings
}

// Defaults that follow from no other setting.
const (
	ModePodIdentity = "PodIdentity"
	ModeIRSA        = "IRSA"

	ipv4 = "IPv4"
	ipv6 = "IPv6"

	azurePublicCloud = "AzurePublicCloud"

	// PolicyRetain keeps a created volume claim when its connection leaves.
	PolicyRetain = "Retain"
	// PolicyDelete deletes it.
	PolicyDelete = "Delete"

	// rolePath keeps created roles apart, so that the provider's own rights
	// can be limited to them.
	rolePath = "/serviceconnections/"

	clusterProviderConfig = "ClusterProviderConfig"
	defaultName           = "default"
)

// maxTold mistakes are told at once.
const maxTold = 50

// Decode the layers, of which a later one wins field by field, apply the
// defaults, and validate. Unknown fields are errors: a misspelt allow-list must
// not read as an absent one. All mistakes are told at once.
func Decode(layers ...map[string]any) (*Settings, error) {
	merged := map[string]any{}
	for _, l := range layers {
		merged = merge(merged, l)
	}
	s, path := &Settings{}, field.NewPath("settings")
	var errs field.ErrorList
	if decode(merged, &s.Settings) != nil {
		// A decoder stops at the first mistake, and speaks of Go.
		c := &conformer{}
		readable, _ := c.conform(merged, reflect.TypeOf(s.Settings), path).(map[string]any)
		s, errs = &Settings{}, c.mistakes
		if err := decode(readable, &s.Settings); err != nil {
			return nil, fmt.Errorf("cannot read settings: %w", err)
		}
	}
	s.setDefaults()
	errs = append(errs, unlessIn(errs, s.validate(path))...)
	if len(errs) > maxTold {
		return nil, fmt.Errorf("invalid settings: %w, and more mistakes", errs[:maxTold].ToAggregate())
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("invalid settings: %w", errs.ToAggregate())
	}
	return s, nil
}

// decode decoded JSON into a type, strictly.
func decode(m map[string]any, into any) error {
	return runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(m, into, true) //nolint:wrapcheck // Only whether there is one is told.
}

// merge over into base. Maps are merged, all else is replaced: two allow-lists
// are never joined into a larger one. Neither changes.
func merge(base, over map[string]any) map[string]any {
	switch {
	case len(over) == 0:
		return base
	case len(base) == 0:
		return over
	}
	out := make(map[string]any, len(base)+len(over))
	maps.Copy(out, base)
	for k, v := range over {
		b, bok := out[k].(map[string]any)
		o, ook := v.(map[string]any)
		if bok && ook {
			out[k] = merge(b, o)
			continue
		}
		out[k] = v
	}
	return out
}

func (s *Settings) setDefaults() {
	if a := s.AWS; a != nil {
		setDefault(&a.Mode, ModePodIdentity)
		setDefault(&a.IPFamily, ipv4)
		setDefault(&a.Partition, partition(a.Region))
		a.ProviderConfigRef = providerConfig(a.ProviderConfigRef)
		if a.CreateRoles != nil {
			setDefault(&a.CreateRoles.Path, rolePath)
		}
	}
	if a := s.Azure; a != nil {
		setDefault(&a.Environment, azurePublicCloud)
		a.ProviderConfigRef = providerConfig(a.ProviderConfigRef)
		setSubscriptionDefaults(a.Subscriptions)
	}
	if g := s.GCP; g != nil {
		if g.ProjectID != "" {
			setDefault(&g.WorkloadPool, g.ProjectID+".svc.id.goog")
		}
		g.ProviderConfigRef = providerConfig(g.ProviderConfigRef)
		if g.Proxy == nil {
			g.Proxy = &v1beta1.Proxy{}
		}
		setDefault(&g.Proxy.Image, ProxyImage)
		if g.Proxy.Resources == nil {
			g.Proxy.Resources = proxyResources()
		}
	}
	if s.Kubernetes == nil {
		s.Kubernetes = &v1beta1.Kubernetes{}
	}
	s.Kubernetes.ProviderConfigRef = providerConfig(s.Kubernetes.ProviderConfigRef)
	if s.Disks == nil {
		return
	}
	for i := range *s.Disks {
		d := &(*s.Disks)[i]
		setDefault(&d.DeletionPolicy, PolicyRetain)
		if d.Create != nil && len(d.Create.AccessModes) == 0 {
			d.Create.AccessModes = []string{"ReadWriteOnce"}
		}
	}
}

// ProxyImage is the Cloud SQL Auth Proxy's release that is used unless the
// settings name another (github.com/GoogleCloudPlatform/cloud-sql-proxy). The tests
// run this release, of tools/cloud-sql-proxy. It is named by its tag, since its digest
// is nowhere in the sources; a cluster that wants one names it in its settings. A new
// release asks each pod with a proxy for a restart, so it comes with the changelog.
const ProxyImage = "gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.28.0"

// proxyResources are small, and limited, because a ResourceQuota may demand
// both requests and limits of every container.
func proxyResources() *v1beta1.ProxyResources {
	return &v1beta1.ProxyResources{
		Requests: map[string]string{"cpu": "50m", "memory": "64Mi"},
		Limits:   map[string]string{"cpu": "500m", "memory": "256Mi"},
	}
}

// AzureProviderConfig is the ProviderConfig of a subscription. Nil: the settings don't
// have that one, and with another's ProviderConfig provider-azure would write to the
// other (terraform-provider-azurerm, federated_identity_credential_resource.go, which
// takes of parent_id only the identity's name).
func (s *Settings) AzureProviderConfig(subscription string) *v1beta1.ProviderConfigReference {
	if strings.EqualFold(subscription, s.Azure.SubscriptionID) {
		return s.Azure.ProviderConfigRef
	}
	for _, other := range s.Azure.Subscriptions {
		if strings.EqualFold(subscription, other.SubscriptionID) {
			return other.ProviderConfigRef
		}
	}
	return nil
}

// Inspect says whether the workloads that claims name may be read.
func (s *Settings) Inspect() bool {
	return s.Workload == nil || s.Workload.Inspect == nil || *s.Workload.Inspect
}

// IPv6 says whether the cluster's pods have IPv6 addresses.
func (s *Settings) IPv6() bool { return s.AWS.IPFamily == ipv6 }

// partition of a region, by its prefix: AWS General Reference, "Amazon Resource
// Names", and botocore's endpoints.json.
func partition(region string) string {
	for _, p := range []struct{ prefix, partition string }{
		{"cn-", "aws-cn"},
		{"us-gov-", "aws-us-gov"},
		{"us-isob-", "aws-iso-b"},
		{"us-isof-", "aws-iso-f"},
		{"us-iso-", "aws-iso"},
		{"eu-isoe-", "aws-iso-e"},
		{"eusc-", "aws-eusc"},
	} {
		if strings.HasPrefix(region, p.prefix) {
			return p.partition
		}
	}
	return "aws"
}

// setSubscriptionDefaults of those beside the cluster's. The ProviderConfig of that name
// is the cluster's own, so each of the others names one.
func setSubscriptionDefaults(subscriptions []v1beta1.Subscription) {
	for i := range subscriptions {
		r := &subscriptions[i].ProviderConfigRef
		if *r == nil {
			*r = &v1beta1.ProviderConfigReference{}
		}
		setDefault(&(*r).Kind, clusterProviderConfig)
	}
}

func setDefault(s *string, v string) {
	if *s == "" {
		*s = v
	}
}

func providerConfig(r *v1beta1.ProviderConfigReference) *v1beta1.ProviderConfigReference {
	if r == nil {
		r = &v1beta1.ProviderConfigReference{Name: defaultName}
	}
	setDefault(&r.Kind, clusterProviderConfig)
	return r
}
