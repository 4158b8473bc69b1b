package fn

import (
	"strings"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// events that Crossplane makes of the last reconcile, of the claim as well, by their
// severity and reason.
func (c *cluster) events() []string {
	c.t.Helper()
	told := make([]string, 0, len(c.rsp.GetResults()))
	for _, r := range c.rsp.GetResults() {
		if r.GetTarget() != fnv1.Target_TARGET_COMPOSITE_AND_CLAIM {
			c.t.Errorf("%q isn't told to the claim", r.GetMessage())
		}
		severity, _ := strings.CutPrefix(r.GetSeverity().String(), "SEVERITY_")
		service, _, _ := strings.Cut(r.GetMessage(), ":")
		told = append(told, severity+" "+r.GetReason()+" "+service)
	}
	return told
}

// TestEvents follows a claim: each change of a connection's reason is an event, once, and
// what stays as it is makes none.
func TestEvents(t *testing.T) {
	t.Parallel()

	for mode, claims := range map[string]bool{"Namespaced": false, "Claims": true} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()

			c := newCluster(t, service("api", awsConnection), allSettings)
			if claims {
				c.claimMode()
			}
			expect := func(when string, want ...string) {
				t.Helper()
				if diff := cmp.Diff(want, c.events(), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s: -want, +got:\n%s", when, diff)
				}
			}
			again := func(when string) {
				t.Helper()
				c.reconcile()
				expect(when + ", and nothing changes")
			}

			c.reconcile()
			expect("it is applied", "NORMAL Creating api/awsRole")
			again("it is applied")

			c.provide()
			c.reconcile()
			for range 10 {
				if c.reason("api", "awsRole") == "Connected" {
					break
				}
				c.provide()
				c.reconcile()
			}
			expect("the cloud has made it", "NORMAL Connected api/awsRole")
			again("the cloud has made it")

			was := c.ready()
			c.setServices(service("api", strings.ReplaceAll(awsConnection, "my-app-s3", "theirs")))
			c.reconcile()
			expect("it asks for what isn't allowed", "WARNING NotAllowed api/awsRole")
			if !was || c.ready() {
				t.Errorf("ready: %t before and %t after it asks for what isn't allowed", was, c.ready())
			}
			again("it asks for what isn't allowed")

			c.setServices(service("api", awsConnection))
			c.settle()
			c.setServices(service("api", awsConnection) + service("worker", strings.ReplaceAll(awsConnection, "my-app-s3", "theirs")))
			c.reconcile()
			expect("another service comes", "WARNING NotAllowed worker/awsRole")
			if c.reason("api", "awsRole") != "Connected" {
				t.Errorf("api is %s", c.reason("api", "awsRole"))
			}
		})
	}
}

// TestWarningIsNotReadiness holds that a result decides nothing: with the status as it
// was written, the run that tells and the run that doesn't are the same but for it.
func TestWarningIsNotReadiness(t *testing.T) {
	t.Parallel()

	c := newCluster(t, service("api", strings.ReplaceAll(awsConnection, "my-app-s3", "theirs")), allSettings)
	c.reconcile()
	told := c.rsp
	c.reconcile()
	if len(told.GetResults()) == 0 || len(c.rsp.GetResults()) > 0 {
		t.Fatalf("want an event of the first run only, got %v and %v", told.GetResults(), c.rsp.GetResults())
	}
	if got, want := c.rsp.GetDesired().GetComposite().GetReady(), told.GetDesired().GetComposite().GetReady(); got != want {
		t.Errorf("readiness is %s without the event, and %s with it", got, want)
	}
	if fatalOf(told) != "" {
		t.Errorf("the event stops the run: %s", fatalOf(told))
	}
}
