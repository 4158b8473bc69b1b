package connection

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSeverity(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason  string
		verdict Verdict
		want    bool
	}{
		"Nothing": {reason: "the zero verdict finds nothing to say"},
		"Blocks":  {reason: "a grant that isn't there yet", verdict: Verdict{Reason: Creating}, want: true},
		"Warns":   {reason: "a warning leaves the connection ready", verdict: Verdict{Reason: RolloutBlocks}},
		"Note":    {reason: "so does a note", verdict: Verdict{Reason: Connected}},
		"Unknown": {reason: "what nothing is known of blocks", verdict: Verdict{Reason: "Strange"}, want: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, tc.verdict.Blocks()); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// Packages trust and workload know no severities, and whoever reads a status looks a
// reason up by its word.
func TestReasonsOfOthers(t *testing.T) {
	t.Parallel()

	want := map[string]Severity{
		"TrustMissingPrincipal": Blocks, "TrustMissingTagSession": Blocks, "TrustWrongIssuer": Blocks,
		"TrustSubjectMismatch": Blocks, "TrustAudienceMismatch": Blocks, "TrustWildcardWithStringEquals": Blocks,
		"TrustDenied": Blocks, "TrustUnscoped": Warns, "TrustUnverifiable": Warns,
		"ContainerNotFound": Blocks, "PortConflict": Blocks, "NameConflict": Blocks, "ServiceAccountInUse": Blocks,
	}
	got := map[string]Severity{}
	for _, r := range []Reason{
		TrustMissingPrincipal, TrustMissingTagSession, TrustWrongIssuer,
		TrustSubjectMismatch, TrustAudienceMismatch, TrustWildcardWithStringEquals,
		TrustDenied, TrustUnscoped, TrustUnverifiable,
		ContainerNotFound, PortConflict, NameConflict, ServiceAccountInUse,
	} {
		got[string(r)] = r.Severity()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

func TestFirst(t *testing.T) {
	t.Parallel()

	want := Verdict{Reason: RoleNotFound, Message: "a"}
	if diff := cmp.Diff(want, First(Verdict{}, want, Verdict{Reason: Creating})); diff != "" {
		t.Errorf("the first that has something to say: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff(Verdict{}, First(Verdict{}, Verdict{})); diff != "" {
		t.Errorf("nobody has anything to say: -want, +got:\n%s", diff)
	}
}
