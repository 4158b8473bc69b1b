package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/plugin/live"
)

// outline of a graph: a line a node with where it leads to.
func outline(g *Graph) string {
	var b strings.Builder
	for i, n := range g.Nodes {
		fmt.Fprintf(&b, "%s %s: %s", n.Kind, n.Name, n.State)
		if n.ShownReason() != "" {
			b.WriteString(" " + n.Reason)
		}
		for _, e := range g.Edges {
			if e.From == i {
				fmt.Fprintf(&b, " -> %d", e.To)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// TestOf builds graphs of what a claim may be.
func TestOf(t *testing.T) {
	t.Parallel()
	ready, blocked := &claim.ConnectionStatus{Ready: true, Reason: "Connected"}, &claim.ConnectionStatus{Reason: "RoleNotFound", Message: "create it"}
	service := func(name, account string, connections ...live.Connection) live.Service {
		return live.Service{Name: name, ServiceAccount: account, Workload: claim.Workload{Kind: "Deployment", Name: name}, Connections: connections}
	}
	aws := func(role, target string, s *claim.ConnectionStatus, objects ...live.Object) live.Connection {
		return live.Connection{Connection: claim.Connection{Type: claim.TypeAWSRole, Role: role, TargetRoleARN: target}, Status: s, Objects: objects}
	}
	written := []live.Condition{{Type: "Connected", Status: "True"}}
	for name, tc := range map[string]struct {
		reason string
		sc     live.ServiceConnection
		want   string
	}{
		"Asked": {
			reason: "A file without a status says what is asked for, and nothing of how it stands.",
			sc:     live.ServiceConnection{Name: "shop", Services: []live.Service{service("api", "shop-api", aws("reader", "", nil))}},
			want: `
ServiceConnection shop: not known -> 1
service api: not known -> 2
ServiceAccount shop-api: not known -> 3
AWS credential awsRole: not known -> 4
IAM role reader: not known
`,
		},
		"Unanswered": {
			reason: "A connection that is new in the claim isn't in the status yet.",
			sc: live.ServiceConnection{Name: "shop", Conditions: written, Services: []live.Service{
				service("api", "shop-api", aws("reader", "", ready), live.Connection{Connection: claim.Connection{Type: claim.TypeDisk, Config: &claim.Config{DiskName: "cache"}}}),
			}},
			want: `
ServiceConnection shop: on its way -> 1
service api: on its way -> 2 -> 5
ServiceAccount shop-api: not known -> 3
AWS credential awsRole: connected -> 4
IAM role reader: connected
disk cache: on its way Pending
`,
		},
		"Shared": {
			reason: "Two services with one ServiceAccount share its grants, as the function has them.",
			sc: live.ServiceConnection{Name: "shop", Conditions: written, Services: []live.Service{
				service("api", "shared", aws("reader", "", ready)), service("web", "shared", aws("reader", "", ready)),
			}},
			want: `
ServiceConnection shop: connected -> 1 -> 5
service api: connected -> 2
ServiceAccount shared: not known -> 3
AWS credential awsRole: connected -> 4
IAM role reader: connected
service web: connected -> 2
`,
		},
		"SharedIdentity": {
			reason: "One role of two ServiceAccounts has a credential for each.",
			sc: live.ServiceConnection{Name: "shop", Conditions: written, Services: []live.Service{
				service("api", "shop-api", aws("reader", "", ready)), service("web", "shop-web", aws("reader", "", ready)),
			}},
			want: `
ServiceConnection shop: connected -> 1 -> 5
service api: connected -> 2
ServiceAccount shop-api: not known -> 3
AWS credential awsRole: connected -> 4
IAM role reader: connected
service web: connected -> 6
ServiceAccount shop-web: not known -> 7
AWS credential awsRole: connected -> 4
`,
		},
		"Chained": {
			reason: "A role that leads to another, which may be one that a service has directly too.",
			sc: live.ServiceConnection{Name: "shop", Conditions: written, Services: []live.Service{
				service("api", "shop-api", aws("hop", "arn:aws:iam::210987654321:role/team/data", ready)),
				service("web", "shop-web", aws("arn:aws:iam::210987654321:role/team/data", "", ready)),
			}},
			want: `
ServiceConnection shop: connected -> 1 -> 6
service api: connected -> 2
ServiceAccount shop-api: not known -> 3
AWS credential awsRole: connected -> 4
IAM role hop: connected -> 5
IAM role in 210987654321 data: connected
service web: connected -> 7
ServiceAccount shop-web: not known -> 8
AWS credential awsRole: connected -> 9
IAM role in 210987654321 data: connected
`,
		},
		"Blocked": {
			reason: "What lies behind a credential that is blocked may be as it should be.",
			sc:     live.ServiceConnection{Name: "shop", Conditions: written, Services: []live.Service{service("api", "shop-api", aws("reader", "", blocked))}},
			want: `
ServiceConnection shop: not connected -> 1
service api: not connected -> 2
ServiceAccount shop-api: not known -> 3
AWS credential awsRole: not connected RoleNotFound -> 4
IAM role reader: not known
`,
		},
		"Live": {
			reason: "Composed objects say where it is stuck.",
			sc: live.ServiceConnection{Name: "shop", Conditions: written, Services: []live.Service{service("api", "shop-api", aws("reader", "", blocked,
				live.Object{Kind: "PodIdentityAssociation", Exists: true, Reason: "Creating"},
				live.Object{Kind: "Role", Exists: true, Reason: "ReconcileError", Message: "not found"}))}},
			want: `
ServiceConnection shop: not connected -> 1
service api: not connected -> 2
ServiceAccount shop-api: not known -> 3
PodIdentityAssociation awsRole: not connected RoleNotFound -> 4
IAM role reader: not connected ReconcileError
`,
		},
		"IRSA": {
			reason: "The injection tells what the settings have chosen.",
			sc: live.ServiceConnection{Name: "shop", Conditions: written, Services: []live.Service{{
				Name: "api", ServiceAccount: "shop-api", Workload: claim.Workload{Kind: "Deployment", Name: "api"}, Connections: []live.Connection{aws("reader", "", ready)},
				Injection: &claim.Injection{Env: []claim.EnvVar{{Name: "AWS_WEB_IDENTITY_TOKEN_FILE"}}},
			}}},
			want: `
ServiceConnection shop: connected -> 1
service api: connected -> 2
ServiceAccount shop-api: connected -> 3
web identity (IRSA) awsRole: connected -> 4
IAM role reader: connected
`,
		},
		"Pods": {
			reason: "A service whose pods run without isn't connected, though all of its connections are ready.",
			sc: live.ServiceConnection{Name: "shop", Conditions: written, Services: []live.Service{{
				Name: "api", ServiceAccount: "shop-api", Workload: claim.Workload{Kind: "StatefulSet", Name: "db"},
				Pods: []live.Pod{{State: live.PodCurrent}, {State: live.PodWithout}},
			}}},
			want: `
ServiceConnection shop: not connected -> 1
service, StatefulSet db api: not connected restart
`,
		},
		"Settings": {
			reason: "What is wrong with the whole belongs to none of its connections.",
			sc: live.ServiceConnection{
				Name: "shop", Conditions: []live.Condition{{Type: "SettingsResolved", Status: "False", Reason: "Pending"}},
				Services: []live.Service{service("api", "shop-api")},
			},
			want: `
ServiceConnection shop: not connected Pending -> 1
service api: not known
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(strings.TrimPrefix(tc.want, "\n"), outline(Of(connection.Builtin(), &tc.sc))); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// BenchmarkSVG of a claim that is as large as it may be.
func BenchmarkSVG(b *testing.B) {
	for _, services := range []int{1, 20, 100} {
		sc := &live.ServiceConnection{Name: "shop"}
		for i := range services {
			n := fmt.Sprint("s", i)
			sc.Services = append(sc.Services, live.Service{Name: n, ServiceAccount: n, Connections: []live.Connection{
				{Connection: claim.Connection{Type: claim.TypeAWSRole, Role: n}},
				{Connection: claim.Connection{Type: claim.TypeAzureManagedIdentity, ResourceGroup: "rg", IdentityName: n}},
				{Connection: claim.Connection{Type: claim.TypeDisk, Config: &claim.Config{DiskName: n}}},
			}})
		}
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			for b.Loop() {
				var out strings.Builder
				if err := Of(connection.Builtin(), sc).SVG(&out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
