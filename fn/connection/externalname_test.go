package connection

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// setBy is an entry of managed fields that has the external name.
func setBy(manager, operation string) map[string]any {
	return map[string]any{"manager": manager, "operation": operation, "fieldsV1": map[string]any{
		"f:metadata": map[string]any{"f:annotations": map[string]any{"f:" + externalName: map[string]any{}}},
	}}
}

// A provider that forgets what the cloud calls an object leaves it there when the
// object is deleted, so the function remembers it.
func TestExternalName(t *testing.T) {
	t.Parallel()

	const seen = `{spec: {forProvider: {roleArn: "arn:aws:iam::111122223333:role/api"}}, status: {atProvider: {associationId: a-1}}}`
	named := func(name string) string {
		return `{metadata: {annotations: {crossplane.io/external-name: ` + name + `}}, ` + seen[1:]
	}
	ours := setBy(fieldManager+"/1", "Apply")

	cases := map[string]struct {
		reason        string
		association   string
		managedFields []any
		want          string
	}{
		"NotSeen":     {reason: "what EKS will call it, nobody knows", association: `{spec: {forProvider: {roleArn: "arn:aws:iam::111122223333:role/api"}}}`},
		"Seen":        {reason: "what EKS calls it is stored once the provider has seen it, also of what is older than that", association: seen, want: "a-1"},
		"Placeholder": {reason: "a provider that knows no id yet says one that is none", association: `{spec: {forProvider: {roleArn: "arn:aws:iam::111122223333:role/api"}}, status: {atProvider: {associationId: a-stubassocid123456}}}`},
		"Stored":      {reason: "it stays what it is", association: named("a-1"), managedFields: []any{ours}, want: "a-1"},
		"StatusLost":  {reason: "a restored object has lost its status, and must not lose its name", association: `{metadata: {annotations: {crossplane.io/external-name: a-0}}, spec: {forProvider: {roleArn: "arn:aws:iam::111122223333:role/api"}}}`, managedFields: []any{ours}, want: "a-0"},
		"MadeAnew":    {reason: "the name that the function stored is outdated once the provider sees another", association: named("a-0"), managedFields: []any{ours}, want: "a-1"},
		"Theirs":      {reason: "what the provider stored by itself it knows better", association: named("a-2"), managedFields: []any{setBy("provider", "Update")}, want: "a-2"},
		"TheirsToo":   {reason: "also where the function once stored the same", association: named("a-2"), managedFields: []any{ours, setBy("provider", "Update")}, want: "a-2"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			c := newContext(t, awsSettings, expandCase{
				connection:    `{type: awsRole, role: api}`,
				observed:      map[string]string{"role": roleObserved("arn:aws:iam::111122223333:role/api"), "association": tc.association},
				managedFields: tc.managedFields,
			})
			key := c.associationKey()
			var association map[string]any
			for _, g := range builtin.Expand(c).Grants {
				if g.Key == key {
					association = g.Object
				}
			}
			if diff := cmp.Diff(tc.want, Annotation(association, externalName)); diff != "" {
				t.Errorf("%s: composed: -want, +got:\n%s", tc.reason, diff)
			}

			observed := c.Observed.Composed[key]
			observed.Object["apiVersion"], observed.Object["kind"] = associationKind.namespaced.APIVersion, associationKind.namespaced.Kind
			kept := map[string]any{"metadata": map[string]any{}}
			builtin.Call(key, Observed{Composed: map[string]Composed{key: observed}}, c.Claim.UID, kept)
			if diff := cmp.Diff(tc.want, Annotation(kept, externalName)); diff != "" {
				t.Errorf("%s: kept: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
