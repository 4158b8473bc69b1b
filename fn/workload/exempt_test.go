package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// TestExemptions holds that the clouds' webhooks give credentials to no container that
// the service leaves out.
func TestExemptions(t *testing.T) {
	t.Parallel()

	token, label, proxy := injections()[1], injections()[2], proxyInjection(5432)
	const (
		eks   = "eks.amazonaws.com/skip-containers"
		azure = "azure.workload.identity/skip-containers"
		three = `{spec: {initContainers: [{name: migrate}], containers: [{name: api}, {name: mesh}]}}`
	)
	chosen := func(in claim.Injection) claim.Injection {
		in.Containers = []string{"api"}
		return in
	}
	for name, tc := range map[string]struct {
		reason    string
		template  string
		injection []claim.Injection
		change    func(claim.Injection) claim.Injection
		want      map[string]string
	}{
		"All":          {reason: "who has all containers leaves none out", template: three, injection: []claim.Injection{token, label}},
		"Proxy":        {reason: "the proxy needs no credentials but Google's", template: three, injection: []claim.Injection{token, proxy}, want: map[string]string{eks: "sc-cloud-sql-proxy"}},
		"Chosen":       {reason: "the others are in no list of the claim's", template: three, injection: []claim.Injection{token}, change: chosen, want: map[string]string{eks: "migrate,mesh"}},
		"BothClouds":   {reason: "each cloud has an annotation, and a way to list", template: three, injection: []claim.Injection{token, label, proxy}, change: chosen, want: map[string]string{eks: "sc-cloud-sql-proxy,migrate,mesh", azure: "sc-cloud-sql-proxy;migrate;mesh"}},
		"NoWebhook":    {reason: "Google's metadata server asks nothing of a pod", template: three, injection: []claim.Injection{proxy}, change: chosen},
		"OfTheTeam":    {reason: "what a pod says itself stays", template: `{metadata: {annotations: {` + eks + `: mesh}}, spec: {containers: [{name: api}]}}`, injection: []claim.Injection{token, proxy}, want: map[string]string{eks: "mesh"}},
		"InjectedOnce": {reason: "an injection that is there already is taken out first", template: `{metadata: {annotations: {` + eks + `: old, serviceconnections.io/injected: '{"annotations":["` + eks + `"]}'}}, spec: {containers: [{name: api}]}}`, injection: []claim.Injection{token}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, err := Merge(tc.injection...)
			if err != nil {
				t.Fatal(err)
			}
			if tc.change != nil {
				in = tc.change(in)
			}
			template := read(t, tc.template)
			Inject(template, in)
			var got map[string]string
			for _, k := range []string{eks, azure} {
				if v := decoded.Text(decoded.Object(decoded.Object(template, "metadata"), "annotations"), k); v != "" {
					if got == nil {
						got = map[string]string{}
					}
					got[k] = v
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
