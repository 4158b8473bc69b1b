package report

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/plugin/live"
)

var update = flag.Bool("update", false, "write the golden file anew")

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func before(d time.Duration) time.Time { return now.Add(-d) }

// connected ServiceConnection with one service, whose pods have their injection.
func connected() *live.ServiceConnection {
	return &live.ServiceConnection{
		Namespace: "team-a", Name: "shop", Created: before(12 * time.Minute), Answered: true,
		Conditions: []live.Condition{{Type: "Connected", Status: "True"}},
		Services: []live.Service{{
			Name: "api", ServiceAccount: "shop-api", Workload: claim.Workload{APIVersion: "apps/v1", Kind: "Deployment", Name: "api"},
			Connections: []live.Connection{{
				Connection: claim.Connection{Type: claim.TypeAWSRole},
				Status:     &claim.ConnectionStatus{Type: claim.TypeAWSRole, Ready: true, Reason: "Connected", Identity: "arn:aws:iam::123456789012:role/my-app"},
				Objects: []live.Object{{
					APIVersion: "eks.aws.m.upbound.io/v1beta1", Kind: "PodIdentityAssociation", Namespace: "team-a", Name: "shop-api-association-0123456789",
					Exists: true, Ready: true, Created: before(11 * time.Minute), Since: before(10 * time.Minute),
				}},
			}},
			Injection: &claim.Injection{Hash: "now"},
			PodsRead:  true,
			Pods:      []live.Pod{{Name: "api-1", State: live.PodCurrent}},
		}},
	}
}

// TestConnected says when all is well.
func TestConnected(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		edit   func(*live.ServiceConnection)
		want   bool

		// says is the first thing that is wrong.
		says string
	}{
		"All": {reason: "Nothing is wrong.", edit: func(*live.ServiceConnection) {}, want: true},
		"NoStatus": {
			reason: "Nobody has looked at it.",
			edit:   func(s *live.ServiceConnection) { s.Conditions, s.Services[0].Connections[0].Status = nil, nil },
			says:   "Pending: it has no status yet",
		},
		"EarlierSpec": {
			reason: "The status is about another spec.",
			edit:   func(s *live.ServiceConnection) { s.Answered = false },
			says:   "Pending: its status is not yet about its spec",
		},
		"Blocked": {
			reason: "A connection isn't ready.",
			edit: func(s *live.ServiceConnection) {
				s.Services[0].Connections[0].Status = &claim.ConnectionStatus{Reason: "RoleNotFound", Message: "create it"}
			},
			says: "api/awsRole: RoleNotFound: create it",
		},
		"NotSynced": {
			reason: "Crossplane can't apply what is composed, and the connections say what was.",
			edit: func(s *live.ServiceConnection) {
				s.Conditions = append(s.Conditions, live.Condition{Type: "Synced", Status: "False", Reason: "ReconcileError", Message: "no matches for kind"})
			},
			says: "ReconcileError: Synced is False: no matches for kind",
		},
		"Unknown": {
			reason: "Of a claim, the conditions are Unknown where Crossplane could not ask the function.",
			edit: func(s *live.ServiceConnection) {
				s.Conditions[0] = live.Condition{Type: "Connected", Status: "Unknown", Reason: "FatalError", Message: "broken"}
			},
			says: "FatalError: Connected is Unknown",
		},
		"Deleting": {
			reason: "It won't be for long.",
			edit:   func(s *live.ServiceConnection) { s.Deleting = true },
			says:   "Deleting: it is being deleted",
		},
		"PodWithout": {
			reason: "Its pod runs without.",
			edit: func(s *live.ServiceConnection) {
				s.Services[0].Pods = append(s.Services[0].Pods, live.Pod{Name: "api-0", State: live.PodWithout})
			},
			says: `api: PodsNotInjected: pods of Deployment "api": 1 of 2 without injection; kubectl -n team-a rollout restart deployment/api`,
		},
		"PodsUnread": {
			reason: "What can't be seen isn't held against it.",
			edit:   func(s *live.ServiceConnection) { s.Services[0].PodsRead, s.Services[0].Pods = false, nil },
			want:   true,
		},
		"PodsBeforeInjection": {
			reason: "There is nothing yet that they lack; the connection says why.",
			edit: func(s *live.ServiceConnection) {
				s.Services[0].Injection, s.Services[0].Pods[0].State = nil, live.PodUnknown
			},
			want: true,
		},
		"Rival": {
			reason: "A pod gets the injection of one claim only.",
			edit: func(s *live.ServiceConnection) {
				s.Services[0].Rivals = []live.Rival{{ServiceConnection: "other", Service: "web"}}
			},
			says: `api: WorkloadConflict: Deployment "api" is also the workload of service "web" of ServiceConnection "other"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := connected()
			tc.edit(s)
			r := Of(&live.View{ServiceConnections: []*live.ServiceConnection{s}})
			if r.Connected != tc.want {
				t.Errorf("%s\nconnected is %t:\n%s", tc.reason, r.Connected, ansi.Strip(r.Text(now)))
			}
			if !strings.Contains(r.Progress(), tc.says) {
				t.Errorf("%s\nprogress is %q, want %q", tc.reason, r.Progress(), tc.says)
			}
		})
	}
}

// TestRestart is shown where it is known, or may be, that pods need it.
func TestRestart(t *testing.T) {
	t.Parallel()
	const command = "kubectl -n team-a rollout restart deployment/api"
	for name, tc := range map[string]struct {
		reason string
		edit   func(*live.Service)
		want   string
	}{
		"SeenToBeCurrent": {
			reason: "The function can't see pods, and we can.",
			edit:   func(s *live.Service) { s.Restart = command },
		},
		"Unseen": {
			reason: "The status is all that we have.",
			edit:   func(s *live.Service) { s.Restart, s.PodsRead = command, false },
			want:   command,
		},
		"StatusKnowsBetter": {
			reason: "It has read the workload.",
			edit: func(s *live.Service) {
				s.Restart, s.Pods = "delete the pods", []live.Pod{{State: live.PodOutdated}}
			},
			want: "delete the pods",
		},
		"StatusThinksItIsOver": {
			reason: "Pods that came between are without.",
			edit:   func(s *live.Service) { s.Pods = []live.Pod{{State: live.PodWithout}} },
			want:   command,
		},
		"UnderWay": {
			reason: "Somebody has restarted it, and to do it again would begin anew.",
			edit: func(s *live.Service) {
				s.Replacing, s.Pods = true, []live.Pod{{State: live.PodOutdated}, {State: live.PodCurrent}}
			},
		},
		"OfAnother": {
			reason: "A new pod may get the other one's injection again.",
			edit:   func(s *live.Service) { s.Restart, s.Pods = command, []live.Pod{{State: live.PodOfAnother}} },
		},
		"UnknownKind": {
			reason: "An object may pre-date its schema.",
			edit: func(s *live.Service) {
				s.Workload.Kind, s.Pods = "Knative", []live.Pod{{State: live.PodWithout}}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := connected()
			tc.edit(&s.Services[0])
			r := Of(&live.View{ServiceConnections: []*live.ServiceConnection{s}})
			if got := r.ServiceConnections[0].Services[0].Restart; got != tc.want {
				t.Errorf("%s\ngot %q", tc.reason, got)
			}
		})
	}
}

// everything that a tree may hold.
func everything() *live.View {
	s := connected()
	s.Services[0].Notes = []claim.Note{
		{Reason: "Superseded", Message: "an object of an earlier state is kept for now"},
		// docs/operate.md says that the status shows whose claims are too large to be read whole.
		{Reason: "ReadWithoutWorkload", Message: "Deployment \"api\" wasn't read"},
	}
	s.Services = append(s.Services, live.Service{
		Name: "worker", ServiceAccount: "shop-worker", Workload: claim.Workload{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "worker"},
		Connections: []live.Connection{
			{
				Connection: claim.Connection{Type: claim.TypeAzureManagedIdentity},
				Status:     &claim.ConnectionStatus{Reason: "ProviderError", Message: "the provider says: denied"},
				Objects: []live.Object{
					{Kind: "FederatedIdentityCredential", Name: "shop-worker-credential-0123456789", Exists: true, Reason: "ReconcileError", Message: "denied", Created: before(time.Hour), Since: before(90 * time.Second)},
					{Kind: "UserAssignedIdentity", Name: "shop-worker-identity-0123456789", Exists: true, Reason: "Creating", Created: before(time.Minute)},
				},
			},
			{Connection: claim.Connection{Type: claim.TypeCloudSQL}, Status: &claim.ConnectionStatus{Reason: "Creating", Message: "it is being created"}},
			{Connection: claim.Connection{Type: claim.TypeDisk}, Status: &claim.ConnectionStatus{Ready: true, Reason: "Connected", Identity: "uploads", Zone: "eu-west-1a", Warnings: []claim.Note{{Reason: "RolloutBlocks", Message: "set strategy: Recreate"}}}},
			{Connection: claim.Connection{Type: claim.TypeGCPServiceAccount}},
		},
		Injection: &claim.Injection{Hash: "now"},
		Objects:   []live.Object{{Kind: "ServiceAccount", Name: "shop-worker", Exists: true, Ready: true, Created: before(time.Hour)}},
		PodsRead:  true,
		Pods:      []live.Pod{{Name: "worker-0", State: live.PodOutdated}, {Name: "worker-1", State: live.PodWithout}, {Name: "worker-2", State: live.PodOfAnother}, {Name: "worker-3", State: live.PodCurrent}},
		Rivals:    []live.Rival{{ServiceConnection: "other", Service: "web"}},
	})
	s.Others = []live.Object{{Kind: "Bucket", Name: "logs"}}
	s.Conditions = append(s.Conditions, live.Condition{Type: "Valid", Status: "False", Reason: "InvalidField", Message: "spec.services[1]: wrong"})
	waits := connected()
	waits.Name, waits.Conditions, waits.Services[0].Connections[0].Status, waits.Services[0].PodsRead = "new", nil, nil, false
	waits.Services[0].Restart = `recreate Job "api" in namespace "team-a"`
	return &live.View{ServiceConnections: []*live.ServiceConnection{connected(), s, waits}, Unread: []string{`you may not read roles in namespace "team-a", so their own state is not shown`}}
}

// TestText holds a whole tree.
func TestText(t *testing.T) {
	t.Parallel()
	got := ansi.Strip(Of(everything()).Text(now))
	const path = "testdata/everything.txt"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("go test ./plugin/report -update writes it anew\n-want +got:\n%s", diff)
	}
}

// orders that text may hold for a terminal.
var orders = []string{"\x1b[2J\x1b[H", "\x1b]0;title\a", "\x9b31m", "\u009b31m", "a\rb", "\b\b", "\u202etxt.exe", "a\nb", "\x00", "%s%d"}

// with a text in each place of a view that somebody else may write.
func with(s string) *live.View {
	o := live.Object{Kind: s, Name: s, Exists: true, Reason: s, Message: s, Created: before(time.Hour), Since: before(time.Hour)}
	n := []claim.Note{{Reason: s, Message: s}}
	return &live.View{Unread: []string{s}, ServiceConnections: []*live.ServiceConnection{{
		Namespace: s, Name: s, Conditions: []live.Condition{{Type: "Valid", Status: "False", Reason: s, Message: s}}, Others: []live.Object{o},
		Services: []live.Service{{
			Name: s, ServiceAccount: s, Workload: claim.Workload{APIVersion: s, Kind: s, Name: s}, Notes: n, Restart: s, Objects: []live.Object{o},
			Rivals: []live.Rival{{ServiceConnection: s, Service: s}},
			Connections: []live.Connection{
				{Connection: claim.Connection{Type: claim.ConnectionType(s)}, Status: &claim.ConnectionStatus{Reason: s, Message: s, Warnings: n}, Objects: []live.Object{o}},
				{Connection: claim.Connection{Type: claim.ConnectionType(s)}, Status: &claim.ConnectionStatus{Ready: true, Identity: s, Zone: s}},
			},
		}},
	}}}
}

// check that a text gives the terminal no more orders than a plain one does.
func check(t rapid.TB, s string) {
	t.Helper()
	count := func(r *Report) map[rune]int {
		n := map[rune]int{}
		for _, c := range r.Text(now) + r.Progress() {
			if !unicode.IsPrint(c) {
				n[c]++
			}
		}
		return n
	}
	if diff := cmp.Diff(count(Of(with("plain"))), count(Of(with(s)))); diff != "" {
		t.Errorf("%q changes what a terminal is told:\n%s", s, diff)
	}
}

// TestEscaped texts can't order a terminal about.
func TestEscaped(t *testing.T) {
	t.Parallel()
	for _, s := range orders {
		check(t, s)
	}
}

// TestAnyTextIsEscaped, not only those that somebody has thought of.
func TestAnyTextIsEscaped(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.SampledFrom(orders)), 1, 4).Draw(t, "parts")
		if s := strings.Join(parts, ""); s != "" {
			check(t, s)
		}
	})
}
