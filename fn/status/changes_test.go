package status

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// standing is a status of one service, whose connections have these reasons in order.
func standing(service string, reasons ...string) claim.Status {
	types := []claim.ConnectionType{claim.TypeAWSRole, claim.TypeCloudSQL, claim.TypeDisk}
	s := claim.ServiceStatus{Name: service}
	for i, r := range reasons {
		s.Connections = append(s.Connections, claim.ConnectionStatus{Type: types[i], Reason: r, Ready: r == "Connected"})
	}
	return claim.Status{Services: []claim.ServiceStatus{s}}
}

// twoDisks of a service, the second one with a name.
func twoDisks(first, second string) claim.Status {
	return claim.Status{Services: []claim.ServiceStatus{{Name: "api", Connections: []claim.ConnectionStatus{
		{Type: claim.TypeDisk, Reason: first, Ready: first == "Connected"},
		{Type: claim.TypeDisk, Name: "uploads", Reason: second, Ready: second == "Connected"},
	}}}}
}

// TestChanges holds that a change is told, and nothing but a change.
func TestChanges(t *testing.T) {
	t.Parallel()

	otherMessage := standing("api", "RoleNotFound")
	otherMessage.Services[0].Connections[0].Message = "there is still no such role"
	long := standing("api", "ProviderError")
	long.Services[0].Connections[0].Message = strings.Repeat("ä", 2000)

	cases := map[string]struct {
		reason        string
		before, after claim.Status
		want          []Change
	}{
		"First": {
			reason: "who has just applied a claim wants to know what became of it",
			after:  standing("api", "Creating"),
			want:   []Change{{Reason: "Creating", Message: "api/awsRole: Creating"}},
		},
		"Same": {
			reason: "an event at each reconcile would hide the others",
			before: standing("api", "Creating", "Connected"), after: standing("api", "Creating", "Connected"),
		},
		"SameOfSeveral": {
			reason: "one of a type must not count as the other's change at each reconcile",
			before: twoDisks("Connected", "Creating"), after: twoDisks("Connected", "Creating"),
		},
		"OneOfSeveral": {
			reason: "nor hide it, and its name says which one it is",
			before: twoDisks("Connected", "Creating"), after: twoDisks("Connected", "VolumeClaimLost"),
			want: []Change{{Reason: "VolumeClaimLost", Message: "api/disk/uploads: VolumeClaimLost", Warning: true}},
		},
		"OtherMessage": {
			reason: "providers' messages hold ids of requests and times, which differ at each try",
			before: standing("api", "RoleNotFound"), after: otherMessage,
		},
		"Mended": {
			reason: "that it works is news, too",
			before: standing("api", "RoleNotFound"), after: standing("api", "Connected"),
			want: []Change{{Reason: "Connected", Message: "api/awsRole: Connected"}},
		},
		"BlockedFirst": {
			reason: "what somebody has to do stands before what passes by itself",
			before: standing("api", "Connected", "Connected", "Connected"), after: standing("api", "Creating", "Connected", "VolumeClaimLost"),
			want: []Change{
				{Reason: "VolumeClaimLost", Message: "api/disk: VolumeClaimLost", Warning: true},
				{Reason: "Creating", Message: "api/awsRole: Creating"},
			},
		},
		"AnotherService": {
			reason: "a service is known by its name, and what has left the claim needs no event",
			before: standing("api", "Connected"), after: standing("worker", "Connected"),
			want: []Change{{Reason: "Connected", Message: "worker/awsRole: Connected"}},
		},
		"Long": {
			reason: "an event that is too long is refused as a whole",
			after:  long,
			want:   []Change{{Reason: "ProviderError", Message: "api/awsRole: " + strings.Repeat("ä", 443) + "…", Warning: true}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, Changes(tc.before, tc.after)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestManyChanges holds that a large claim doesn't use up the events that Kubernetes
// keeps of an object, and that what is left out is counted.
func TestManyChanges(t *testing.T) {
	t.Parallel()

	many := claim.Status{}
	for i := range 100 {
		many.Services = append(many.Services, standing(fmt.Sprintf("service-%d", i), "Connected", "RoleNotFound").Services...)
	}
	got := Changes(claim.Status{}, many)
	want := Change{
		Reason: "MoreChanges", Warning: true,
		Message: "193 more connections have other reasons than before; the status has all of them",
	}
	if diff := cmp.Diff(want, got[len(got)-1]); diff != "" || len(got) != maxChanges {
		t.Errorf("of %d changes, the last: -want, +got:\n%s", len(got), diff)
	}
	for _, c := range got {
		if !c.Warning {
			t.Errorf("%q is told where 100 connections are blocked", c.Message)
		}
	}
}
