package settings_test

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/settings"
	"github.com/serviceconnections/function-service-connections/input/v1beta1"
)

func parse(tb testing.TB, text string) map[string]any {
	tb.Helper()

	m := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		tb.Fatalf("cannot decode: %v\n%s", err, text)
	}

	return m
}

func decode(tb testing.TB, layers ...string) *settings.Settings {
	tb.Helper()

	ms := make([]map[string]any, 0, len(layers))
	for _, l := range layers {
		ms = append(ms, parse(tb, l))
	}

	s, err := settings.Decode(ms...)
	if err != nil {
		tb.Fatalf("cannot decode: %v", err)
	}

	return s
}

func TestDefaults(t *testing.T) {
	t.Parallel()

	got := decode(t, `
cluster: {name: prod}
aws: {accountId: "123456789012", region: eu-west-1, clusterName: prod}
azure: {subscriptionId: 00000000-1111-2222-3333-444444444444, tenantId: 00000000-1111-2222-3333-444444444444, oidcIssuer: "https://example.com/"}
gcp: {projectId: my-project}
disks:
- {name: a, namespaces: ["*"]}
- {name: b, namespaces: ["*"], create: {size: 1Gi}, deletionPolicy: Delete}
`).Settings

	ref := &v1beta1.ProviderConfigReference{Kind: "ClusterProviderConfig", Name: "default"}
	want := v1beta1.Settings{
		Cluster: v1beta1.Cluster{Name: "prod"},
		AWS: &v1beta1.AWS{
			AccountID: "123456789012", Region: "eu-west-1", ClusterName: "prod",
			Partition: "aws", Mode: "PodIdentity", IPFamily: "IPv4", ProviderConfigRef: ref,
		},
		Azure: &v1beta1.Azure{
			SubscriptionID: "00000000-1111-2222-3333-444444444444", TenantID: "00000000-1111-2222-3333-444444444444",
			OIDCIssuer: "https://example.com/", Environment: "AzurePublicCloud", ProviderConfigRef: ref,
		},
		GCP: &v1beta1.GCP{
			ProjectID: "my-project", WorkloadPool: "my-project.svc.id.goog", ProviderConfigRef: ref,
			Proxy: &v1beta1.Proxy{Image: settings.ProxyImage, Resources: &v1beta1.ProxyResources{
				Requests: map[string]string{"cpu": "50m", "memory": "64Mi"},
				Limits:   map[string]string{"cpu": "500m", "memory": "256Mi"},
			}},
		},
		Kubernetes: &v1beta1.Kubernetes{ProviderConfigRef: ref},
		Disks: &[]v1beta1.Disk{
			{Name: "a", Namespaces: []string{"*"}, DeletionPolicy: "Retain"},
			{Name: "b", Namespaces: []string{"*"}, DeletionPolicy: "Delete", Create: &v1beta1.DiskCreation{Size: "1Gi", AccessModes: []string{"ReadWriteOnce"}}},
		},
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is left out gets its default (-want +got):\n%s", diff)
	}
}

func TestPartition(t *testing.T) {
	t.Parallel()

	for region, want := range map[string]string{
		"eu-west-1":      "aws",
		"cn-north-1":     "aws-cn",
		"us-gov-west-1":  "aws-us-gov",
		"us-iso-east-1":  "aws-iso",
		"us-isob-east-1": "aws-iso-b",
		"eu-isoe-west-1": "aws-iso-e",
		"us-isof-east-1": "aws-iso-f",
		"eusc-de-east-1": "aws-eusc",
	} {
		s := decode(t, `{cluster: {name: c}, aws: {accountId: "123456789012", clusterName: c, region: `+region+`}}`)
		if s.AWS.Partition != want {
			t.Errorf("the partition follows from region %s\nwant %s, got %s", region, want, s.AWS.Partition)
		}
	}
}

func TestSwitches(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason   string
		settings string
		inspect  bool
		ipv6     bool
	}{
		"Default":      {reason: "Workloads are read unless the platform says otherwise.", settings: ``, inspect: true},
		"Empty":        {reason: "An empty section says nothing.", settings: `workload: {}`, inspect: true},
		"InspectTrue":  {reason: "So it says.", settings: `workload: {inspect: true}`, inspect: true},
		"InspectFalse": {reason: "The platform may not want the cache.", settings: `workload: {inspect: false}`},
		"IPv6":         {reason: "The agent has another address there.", settings: `aws: {ipFamily: IPv6}`, inspect: true, ipv6: true},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s := decode(t, `{cluster: {name: c}, aws: {accountId: "123456789012", region: eu-west-1, clusterName: c}}`, tc.settings)
			if s.Inspect() != tc.inspect || s.IPv6() != tc.ipv6 {
				t.Errorf("%s\nwant inspect %v, IPv6 %v; got %v, %v", tc.reason, tc.inspect, tc.ipv6, s.Inspect(), s.IPv6())
			}
		})
	}
}

func TestLayers(t *testing.T) {
	t.Parallel()

	const base = `{cluster: {name: c}, aws: {accountId: "123456789012", region: eu-west-1, clusterName: c, allowedRoles: [{pattern: "a-*", namespaces: [a]}]}}`

	rules := func(patterns ...string) *[]v1beta1.RoleRule {
		rs := make([]v1beta1.RoleRule, 0, len(patterns))
		for _, p := range patterns {
			rs = append(rs, v1beta1.RoleRule{Pattern: p, Namespaces: []string{"a"}})
		}

		return &rs
	}

	cases := map[string]struct {
		reason string
		layers []string
		region string
		rules  *[]v1beta1.RoleRule
	}{
		"One":      {reason: "One layer is all there is.", layers: []string{base}, region: "eu-west-1", rules: rules("a-*")},
		"Empty":    {reason: "An empty layer changes nothing.", layers: []string{base, `{}`}, region: "eu-west-1", rules: rules("a-*")},
		"Field":    {reason: "A later layer wins field by field, and leaves the rest.", layers: []string{base, `{aws: {region: us-east-1}}`}, region: "us-east-1", rules: rules("a-*")},
		"List":     {reason: "Lists are replaced: two allow-lists never add up.", layers: []string{base, `{aws: {allowedRoles: [{pattern: b, namespaces: [a]}]}}`}, region: "eu-west-1", rules: rules("b")},
		"ListNone": {reason: "An empty list replaces too.", layers: []string{base, `{aws: {allowedRoles: []}}`}, region: "eu-west-1", rules: rules()},
		"ListNull": {reason: "A null list is absent.", layers: []string{base, `{aws: {allowedRoles: null}}`}, region: "eu-west-1"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s := decode(t, tc.layers...)
			if s.AWS.Region != tc.region {
				t.Errorf("%s\nwant region %s, got %s", tc.reason, tc.region, s.AWS.Region)
			}

			if diff := cmp.Diff(tc.rules, s.AWS.AllowedRoles); diff != "" {
				t.Errorf("%s\nallowedRoles (-want +got):\n%s", tc.reason, diff)
			}
		})
	}

	if s, err := settings.Decode(nil, parse(t, `cluster: {name: c}`), nil); err != nil || s.Cluster.Name != "c" {
		t.Errorf("a layer that isn't there changes nothing\ngot: %v", err)
	}
}

func TestDecodeErrors(t *testing.T) {
	t.Parallel()

	const (
		aws   = `{accountId: "123456789012", region: eu-west-1, clusterName: c`
		azure = `{subscriptionId: 00000000-1111-2222-3333-444444444444, tenantId: 00000000-1111-2222-3333-444444444444, oidcIssuer: "https://example.com/"`
		gcp   = `{projectId: my-project`
	)

	cases := map[string]struct {
		reason   string
		settings string
		want     []string // Parts of the error.
	}{
		"Nothing":         {reason: "A cluster needs a name.", settings: ``, want: []string{"settings.cluster.name: Required"}},
		"Blank":           {reason: "A blank isn't a name.", settings: `cluster: {name: " "}`, want: []string{"settings.cluster.name: Required"}},
		"UnknownField":    {reason: "A misspelt allow-list must not read as an absent one.", settings: `{cluster: {name: c}, aws: {allowdRoles: []}}`, want: []string{"settings.aws.allowdRoles: Forbidden: unknown field; the fields here are accountId, "}},
		"UnknownFields":   {reason: "Each is named.", settings: `{cluster: {name: c}, awss: {}, disks: [{nam: d}]}`, want: []string{"settings.awss: Forbidden: unknown field", "settings.disks[0].nam: Forbidden: unknown field; the fields here are name, namespaces, create, deletionPolicy"}},
		"Case":            {reason: "Field names are exact.", settings: `{cluster: {Name: c}}`, want: []string{"settings.cluster.Name: Forbidden: unknown field; the fields here are name"}},
		"Type":            {reason: "An account id that isn't in quotes would lose its leading zero.", settings: `{cluster: {name: c}, aws: {accountId: 123456789012}}`, want: []string{"settings.aws.accountId: Invalid value: 123456789012: must be a string, in quotes"}},
		"AWSEmpty":        {reason: "All that is missing is listed.", settings: `{cluster: {name: c}, aws: {}}`, want: []string{"aws.accountId: Required", "aws.region: Required", "aws.clusterName: Required"}},
		"AWSForms":        {reason: "Every mistake at once.", settings: `{cluster: {name: c}, aws: {accountId: "1", region: Europe, partition: azure, mode: Kube2iam, ipFamily: IPv5, providerConfigRef: {kind: ProviderConfig}}}`, want: []string{"aws.accountId: Invalid", "aws.region: Invalid", "aws.partition: Invalid", "aws.mode: Unsupported", "aws.ipFamily: Unsupported", "aws.providerConfigRef.name: Required", "aws.providerConfigRef.kind: Unsupported"}},
		"ClusterNameForm": {reason: "EKS' rules for names.", settings: `{cluster: {name: c}, aws: {accountId: "123456789012", region: eu-west-1, clusterName: "a b"}}`, want: []string{"aws.clusterName: Invalid"}},
		"IRSA":            {reason: "IRSA needs the issuer.", settings: `{cluster: {name: c}, aws: ` + aws + `, mode: IRSA}}`, want: []string{"aws.oidcIssuer: Invalid"}},
		"RoleRule":        {reason: "A rule says what, and for whom.", settings: `{cluster: {name: c}, aws: ` + aws + `, allowedRoles: [{}, {pattern: a, namespaces: [""]}]}}`, want: []string{"allowedRoles[0].pattern: Required", "allowedRoles[0].namespaces: Required", "allowedRoles[1].namespaces[0]: Required"}},
		"AzureEmpty":      {reason: "All that is missing is listed.", settings: `{cluster: {name: c}, azure: {}}`, want: []string{"azure.subscriptionId: Required", "azure.tenantId: Required", "azure.oidcIssuer: Invalid"}},
		"AzureForms":      {reason: "Every mistake at once.", settings: `{cluster: {name: c}, azure: {subscriptionId: a, tenantId: b, oidcIssuer: "http://example.com", environment: Moon}}`, want: []string{"azure.subscriptionId: Invalid", "azure.tenantId: Invalid", "azure.oidcIssuer: Invalid", "azure.environment: Unsupported"}},
		"Subscriptions": {reason: "Each subscription beside the cluster's has one ProviderConfig.", settings: `{cluster: {name: c}, azure: ` + azure + `, subscriptions: [{subscriptionId: x}, {subscriptionId: 00000000-1111-2222-3333-444444444444, providerConfigRef: {name: p}}, {subscriptionId: AAAAAAAA-1111-2222-3333-444444444444, providerConfigRef: {kind: ProviderConfig, name: p}}, {subscriptionId: aaaaaaaa-1111-2222-3333-444444444444, providerConfigRef: {name: q}}]}}`, want: []string{
			"azure.subscriptions[0].subscriptionId: Invalid", "azure.subscriptions[0].providerConfigRef.name: Required",
			"azure.subscriptions[1].subscriptionId: Duplicate", "azure.subscriptions[2].providerConfigRef.kind: Unsupported", "azure.subscriptions[3].subscriptionId: Duplicate",
		}},
		"IdentityRule":       {reason: "A rule says what, and for whom.", settings: `{cluster: {name: c}, azure: ` + azure + `, allowedIdentities: [{subscriptionId: x}]}}`, want: []string{"allowedIdentities[0].subscriptionId: Invalid", "allowedIdentities[0].resourceGroup: Required", "allowedIdentities[0].identity: Required", "allowedIdentities[0].namespaces: Required"}},
		"GCPEmpty":           {reason: "What is missing is listed.", settings: `{cluster: {name: c}, gcp: {}}`, want: []string{"gcp.projectId: Required"}},
		"ProxyRequests":      {reason: "The API server would refuse every pod.", settings: `{cluster: {name: c}, gcp: {projectId: my-project-123456, proxy: {resources: {requests: {cpu: "1", memory: 1Gi}, limits: {cpu: 500m, memory: 1Gi}}}}}`, want: []string{`requests.cpu: Invalid value: "1": must not be more than the limit, 500m`}},
		"GCPForms":           {reason: "Every mistake at once.", settings: `{cluster: {name: c}, gcp: {projectId: P, workloadPool: p, proxy: {image: "a b", resources: {requests: {cpu: x}, limits: {memory: "0"}}}}}`, want: []string{"gcp.projectId: Invalid", "gcp.workloadPool: Invalid", "gcp.proxy.image: Invalid", "requests.cpu: Invalid", "limits.memory: Invalid"}},
		"ProjectFlag":        {reason: "A project that starts with a dash would be a flag to whoever gets it as an argument.", settings: `{cluster: {name: c}, gcp: {projectId: "-t:my-project"}}`, want: []string{"gcp.projectId: Invalid"}},
		"GoogleAccounts":     {reason: "An account is registered once, by a name that can be one.", settings: `{cluster: {name: c}, gcp: ` + gcp + `, serviceAccounts: [{name: abcdef, namespaces: [a]}, {name: abcdef, namespaces: [b]}, {name: me@example.com}]}}`, want: []string{"serviceAccounts[1].name: Duplicate", "serviceAccounts[2].name: Invalid", "serviceAccounts[2].namespaces: Required"}},
		"Kubernetes":         {reason: "A namespaced ProviderConfig could be a team's own.", settings: `{cluster: {name: c}, kubernetes: {providerConfigRef: {kind: ProviderConfig, name: a}}}`, want: []string{"kubernetes.providerConfigRef.kind: Unsupported"}},
		"Disks":              {reason: "Every mistake at once.", settings: `{cluster: {name: c}, disks: [{name: A, deletionPolicy: Keep}, {name: d, namespaces: [a], create: {size: big, accessModes: [Any]}}, {name: d, namespaces: [a], create: {}}]}`, want: []string{"disks[0].name: Invalid", "disks[0].namespaces: Required", "disks[0].deletionPolicy: Unsupported", "disks[1].create.size: Invalid", "disks[1].create.accessModes[0]: Unsupported", "disks[2].name: Duplicate", "disks[2].create.size: Invalid"}},
		"SeveralSections":    {reason: "Mistakes of all sections come together.", settings: `{aws: {}, azure: {}, gcp: {}}`, want: []string{"cluster.name", "aws.region", "azure.tenantId", "gcp.projectId"}},
		"IssuerWithoutSlash": {reason: "AKS's issuers end with a slash, and Azure compares them character by character.", settings: `{cluster: {name: c}, azure: {oidcIssuer: "https://eastus.oic.prod-aks.azure.com/t/i"}}`, want: []string{"azure.oidcIssuer: Invalid"}},
		"IssuerQuery":        {reason: "An issuer has no query.", settings: `{cluster: {name: c}, azure: {oidcIssuer: "https://example.com/?a=b"}}`, want: []string{"azure.oidcIssuer: Invalid"}},
		"IssuerUnreadable":   {reason: "An issuer is a URL.", settings: `{cluster: {name: c}, azure: {oidcIssuer: "https://exa mple.com/%"}}`, want: []string{"azure.oidcIssuer: Invalid"}},
		"IssuerWithoutHost":  {reason: "An issuer has a host.", settings: `{cluster: {name: c}, azure: {oidcIssuer: "https:///a"}}`, want: []string{"azure.oidcIssuer: Invalid"}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := settings.Decode(parse(t, tc.settings))
			if err == nil {
				t.Fatalf("%s\nwant an error, got none", tc.reason)
			}

			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%s\nwant %q in the error, got: %v", tc.reason, w, err)
				}
			}
		})
	}

	if _, err := settings.Decode(map[string]any{"cluster": math.Inf(1)}); err == nil {
		t.Error("what JSON can't hold is no setting\nwant an error, got none")
	}
}

// TestEveryType holds that the settings have no field of a type that isn't told
// from others as they are read.
func TestEveryType(t *testing.T) {
	t.Parallel()

	var walk func(path string, typ reflect.Type)

	walk = func(path string, typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Struct:
			for f := range typ.Fields() {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				if name == "" {
					t.Errorf("%s.%s has no name in JSON", path, f.Name)
				}

				walk(path+"."+name, f.Type)
			}
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(path, typ.Elem())
		case reflect.String, reflect.Bool:
		default:
			t.Errorf("%s is a %s, which conform takes for a string", path, typ)
		}
	}
	walk("settings", reflect.TypeFor[v1beta1.Settings]())
}

// One mistake must not hide another, nor be told twice.
func TestDecodeErrorsAtOnce(t *testing.T) {
	t.Parallel()

	const name = "cluster: {name: c}, "

	cases := map[string]struct {
		reason   string
		settings string
		want     []string // All mistakes, in order.
	}{
		"EveryKind": {
			reason:   "Unknown fields, wrong types and malformed values come together.",
			settings: `{clutser: {name: c}, aws: {accountId: 1, region: Europe, clusterName: c}}`,
			want: []string{
				"settings.aws.accountId: Invalid value: 1: must be a string, in quotes",
				"settings.clutser: Forbidden: unknown field; the fields here are cluster, aws, azure, gcp, kubernetes, workload, disks",
				"settings.cluster.name: Required value: name the cluster, unique among those that share cloud accounts",
				`settings.aws.region: Invalid value: "Europe": must be a region such as eu-west-1`,
			},
		},
		"Section": {
			reason:   "What is in a section that can't be read isn't missing.",
			settings: `{cluster: c, aws: [eu-west-1]}`,
			want: []string{
				`settings.aws: Invalid value: ["eu-west-1"]: must be an object`,
				`settings.cluster: Invalid value: "c": must be an object`,
			},
		},
		"List": {
			reason:   "One entry or a list of one must not be taken for the other.",
			settings: `{` + name + `disks: {name: d}}`,
			want:     []string{`settings.disks: Invalid value: {"name":"d"}: must be a list`},
		},
		"Entries": {
			reason:   "Each entry has its place, also behind one that can't be read.",
			settings: `{` + name + `disks: [d, {name: 5, namespaces: a}, {name: D, namespaces: [a, 7]}]}`,
			want: []string{
				`settings.disks[0]: Invalid value: "d": must be an object`,
				"settings.disks[1].name: Invalid value: 5: must be a string, in quotes",
				`settings.disks[1].namespaces: Invalid value: "a": must be a list`,
				"settings.disks[2].namespaces[1]: Invalid value: 7: must be a string, in quotes",
				`settings.disks[2].name: Invalid value: "D": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
			},
		},
		"Switch": {
			reason:   "A switch in quotes is text.",
			settings: `{` + name + `workload: {inspect: "false"}}`,
			want:     []string{`settings.workload.inspect: Invalid value: "false": must be true or false, without quotes`},
		},
		"Quantity": {
			reason:   "A quantity is text too.",
			settings: `{` + name + `gcp: {projectId: my-project, proxy: {resources: {requests: {cpu: 1, memory: x}}}}}`,
			want: []string{
				"settings.gcp.proxy.resources.requests.cpu: Invalid value: 1: must be a string, in quotes",
				`settings.gcp.proxy.resources.requests.memory: Invalid value: "x": must be a quantity such as 20Gi or 100m`,
			},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := settings.Decode(parse(t, tc.settings))
			if err == nil {
				t.Fatalf("%s\nwant an error, got none", tc.reason)
			}

			var got []string
			if all, ok := errors.AsType[utilerrors.Aggregate](err); ok {
				for _, e := range all.Errors() {
					got = append(got, e.Error())
				}
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nmistakes (-want +got):\n%s\n%v", tc.reason, diff, err)
			}
		})
	}
}

func TestDecodeTooManyErrors(t *testing.T) {
	t.Parallel()

	disks := "[" + strings.Repeat("{name: 1}, ", 100_000) + "{name: " + strings.Repeat("x", 100_000) + "}]"
	_, err := settings.Decode(parse(t, `{cluster: {name: c}, disks: `+disks+`}`))
	if err == nil {
		t.Fatal("want an error, got none")
	}
	got := err.Error()
	for _, want := range []string{
		"settings.disks[0].name: Invalid value: 1: must be a string, in quotes",
		"settings.disks[49].name: Invalid value: 1: must be a string, in quotes",
		"and more mistakes",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in the error, got %.1000s", want, got)
		}
	}
	if len(got) > 10_000 {
		t.Errorf("want what somebody can read, got %d bytes", len(got))
	}
}
