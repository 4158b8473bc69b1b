package trust

import (
	"cmp"
	"os"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

const roleARN = "arn:aws:iam::111122223333:role/api"

// A checkCase is a trust policy, in the files of testdata.
type checkCase struct {
	Reason string `json:"reason"`

	// Partition and Issuer of the subject, where it isn't the usual one, and
	// whether the association sends no session tags.
	Partition     string `json:"partition"`
	Issuer        string `json:"issuer"`
	NoSessionTags bool   `json:"noSessionTags"`

	Policy string `json:"policy"`

	// Want is the finding's reason, and Message its message. Empty: no finding.
	Want    string `json:"want"`
	Message string `json:"message"`
}

func (c checkCase) subject(m Mode) Subject {
	return Subject{
		Mode: m, Partition: cmp.Or(c.Partition, "aws"), AccountID: "111122223333", Region: "eu-west-1", ClusterName: "prod",
		OIDCIssuer: cmp.Or(c.Issuer, "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC"),
		Namespace:  "team-a", ServiceAccount: "shop-api", NoSessionTags: c.NoSessionTags,
	}
}

// files of cases by their mode.
var files = map[Mode]string{PodIdentity: "testdata/podidentity.yaml", IRSA: "testdata/irsa.yaml"}

func cases(tb testing.TB, m Mode) map[string]checkCase {
	tb.Helper()
	b, err := os.ReadFile(files[m])
	if err != nil {
		tb.Fatal(err)
	}
	cs := map[string]checkCase{}
	if err := yaml.UnmarshalStrict(b, &cs); err != nil {
		tb.Fatal(err)
	}
	return cs
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for mode := range files {
		for name, tc := range cases(t, mode) {
			t.Run(string(mode)+"/"+name, func(t *testing.T) {
				t.Parallel()
				want := Finding{Reason: tc.Want, Message: strings.TrimSpace(tc.Message)}
				got := Check(Role{ARN: roleARN, Policy: tc.Policy}, tc.subject(mode))
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("%s: -want, +got:\n%s", tc.Reason, diff)
				}
			})
		}
	}
}
