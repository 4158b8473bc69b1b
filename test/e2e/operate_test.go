package e2e

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// TestFindsWhatHolds runs the commands by which docs/operate.md finds what holds back a
// revocation, and holds that what it says to do about that is enough.
func TestFindsWhatHolds(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.connect("- {name: api, connections: [{type: awsRole, role: my-app-s3-access}]}")
		team.awaitReady()
		find := team.commands("docs/operate.md", "## Find what holds back a revocation")
		refused := ""
		for _, c := range team.commands("docs/operate.md", "## Load, and teams that make too much of it") {
			if strings.Contains(c, `eq .type "Synced"`) {
				refused = c
			}
		}
		if team.mode == controlplane.Claims {
			// As the page says of claims.
			find[0] = strings.ReplaceAll(find[0], ".crossplane.", ".")
			refused = strings.Replace(refused, "get serviceconnections", "get xserviceconnections", 1)
		}
		row := func(commands string) string {
			for line := range strings.Lines(team.shellIn(team.Root, commands)) {
				if strings.Contains(line, team.namespace) {
					return strings.TrimSpace(line)
				}
			}
			return ""
		}
		says := func(what, commands, pattern string) {
			team.t.Helper()
			if got := row(commands); !regexp.MustCompile(pattern).MatchString(got) {
				team.t.Errorf("%s: the row is %q, want one that matches %s", what, got, pattern)
			}
		}

		says("nothing holds", find[0], `^team-\w+ +shop +<none> +\[\S+\] +(Automatic|<none>) +serviceconnections-\w+ +<none>$`)
		shop := team.named(claimKind, "shop")
		for _, patch := range []string{
			`{"metadata": {"annotations": {"crossplane.io/paused": "true"}}}`,
			`{"metadata": {"finalizers": ["example.org/hold"]}}`,
		} {
			if err := team.Client.Patch(team.t.Context(), shop, mergePatch("%s", patch)); err != nil {
				team.t.Fatal(err)
			}
		}
		for _, fields := range []string{`"compositionUpdatePolicy": "Manual"`, `"compositionRevisionSelector": {"matchLabels": {"no": "such"}}`} {
			if err := team.Client.Patch(team.t.Context(), shop, team.machinery(fields)); err != nil {
				team.t.Fatal(err)
			}
		}
		says("all of it holds", find[0], `^team-\w+ +shop +true +\[.*example\.org/hold.*\] +Manual +serviceconnections-\w+ +map\[matchLabels:map\[no:such\]\]$`)
		if err := team.Client.Patch(team.t.Context(), shop, mergePatch(`{"metadata": {"finalizers": null, "annotations": {"crossplane.io/paused": null}}}`)); err != nil {
			team.t.Fatal(err)
		}
		if err := team.Client.Patch(team.t.Context(), shop, team.machinery(`"compositionUpdatePolicy": "Automatic", "compositionRevisionSelector": null`)); err != nil {
			team.t.Fatal(err)
		}
		team.awaitReady()

		says("Crossplane knows what it composed", find[1], `^ServiceAccount team-\w+/shop-api shop-api\.serviceaccount$`)
		account := team.accountOfAPI()
		team.eventually("Crossplane stops at what it doesn't know", func(ctx context.Context) error {
			// A reconcile that was under way has not seen that it is gone, and applies it anew.
			if err := team.Client.Patch(ctx, account, mergePatch(`{"metadata": {"annotations": {"%s": null}}}`, annotationResourceName)); err != nil {
				return err
			}
			xr, err := team.composite(ctx)
			if err != nil {
				return err
			}
			return hasCondition(xr, "Synced", "False", "", "without required")
		})
		says("an object has lost its name", find[1], `^ServiceAccount team-\w+/shop-api <no value>$`)
		// A composite resource of a claim has no namespace, but its name says whose it is.
		if out := team.shellIn(team.Root, refused); !regexp.MustCompile(`(?m)^(` + team.namespace + `|<no value>) shop\S*: .*without required "crossplane.io/composition-resource-name" annotation`).MatchString(out) {
			team.t.Errorf("the claim isn't found whose requests are refused: %s", out)
		}
		if err := team.Client.Delete(team.t.Context(), account); err != nil {
			team.t.Fatal(err)
		}
		team.awaitReady()
		team.eventually("the ServiceAccount is made anew", func(context.Context) error {
			if made := team.get("v1", "ServiceAccount", "shop-api"); made == nil || made.GetAnnotations()[annotationResourceName] != "shop-api.serviceaccount" {
				return fmt.Errorf("it is %v", made)
			}
			return nil
		})
	})
}
