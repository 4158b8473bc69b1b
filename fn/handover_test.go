package fn

import (
	"maps"
	"strings"
	"testing"
)

// An association that EKS had made as its provider was killed has no name that anybody
// here knows. These are the times of such a provider: when the killed one began, when the
// one that was started anew did, and when EKS answered that.
const (
	killedAt   = "2026-11-28T15:56:54Z"
	triedAt    = "2026-11-28T15:58:10Z"
	answeredAt = "2026-11-28T15:58:11Z"
	lostID     = "a-0lost0association1"
	denied     = "AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/crossplane is not authorized to perform: eks:CreatePodIdentityAssociation"
	untrusted  = "InvalidParameterException: Trust policy of the role provided is invalid. Follow the official documentation to resolve the issue."
	exists     = "ResourceInUseException: Association already exists: " + lostID
)

// associated cluster, of which EKS has an association that nobody knows.
type associated struct {
	*cluster

	key string
}

func newAssociated(t *testing.T, claims bool) associated {
	t.Helper()
	c := newCluster(t, service("api", awsConnection), allSettings)
	if claims {
		c.claimMode()
	}
	c.settle()
	a := associated{c, c.keys("PodIdentityAssociation")[0]}
	a.begin(killedAt)
	a.composed[a.key]["status"] = map[string]any{"conditions": []any{
		map[string]any{"type": "Ready", "status": "False", "reason": "Creating"},
		map[string]any{"type": "Synced", "status": "True", "reason": "ReconcileSuccess"},
	}}
	return a
}

// object of the association, which must be there.
func (a associated) object() map[string]any {
	a.t.Helper()
	o := a.composed[a.key]
	if o == nil {
		a.t.Fatalf("%s is gone", a.key)
	}
	return o
}

// annotate the association as its provider does, which knows no id.
func (a associated) annotate(key, value string) {
	a.t.Helper()
	o := a.object()
	annotations := maps.Clone(o["metadata"].(map[string]any)["annotations"].(map[string]any))
	annotations[key] = value
	o["metadata"].(map[string]any)["annotations"] = annotations
}

// begin to create the association, by a call of which only the beginning is written down.
func (a associated) begin(at string) {
	a.annotate("crossplane.io/external-create-pending", at)
	a.annotate("crossplane.io/external-create-succeeded", at)
}

// fail to create it, as upjet tells.
func (a associated) fail(message, at string) {
	a.t.Helper()
	failure := "async create failed: failed to create the resource: [{0 creating EKS Pod Identity Association: operation error EKS: CreatePodIdentityAssociation, https response error StatusCode: 400, RequestID: " + at + ", " + message + " []}]"
	a.object()["status"] = map[string]any{"conditions": []any{
		map[string]any{"type": "Ready", "status": "False", "reason": "Creating"},
		map[string]any{"type": "Synced", "status": "False", "reason": "ReconcileError", "message": "create failed: " + failure, "lastTransitionTime": at},
		map[string]any{"type": "LastAsyncOperation", "status": "False", "reason": "AsyncCreateFailure", "message": failure, "lastTransitionTime": at},
	}}
}

// finder that reads the association which EKS has, nil where there is none.
func (a associated) finder() map[string]any {
	for _, key := range a.keys("PodIdentityAssociation") {
		if strings.Contains(key, ".found.") {
			return a.composed[key]
		}
	}
	return nil
}

// find the association with tags, as its provider tells what it reads.
func (a associated) find(edit func(at map[string]any)) {
	a.t.Helper()
	at := map[string]any{
		"associationId": lostID, "clusterName": "prod-eu", "namespace": "team-a", "serviceAccount": "shop-api",
		"tagsAll": map[string]any{"serviceconnections.io/composed-by": xrUID},
	}
	edit(at)
	f := a.finder()
	if f == nil {
		a.t.Fatalf("no object reads what is found for %s", a.key)
	}
	f["status"] = map[string]any{"atProvider": at, "conditions": []any{
		map[string]any{"type": "Ready", "status": "True", "reason": "Available"},
		map[string]any{"type": "Synced", "status": "True", "reason": "ReconcileSuccess"},
	}}
}

func (a associated) revoke() {
	a.setSettings(strings.Replace(allSettings, `{pattern: "my-app-*", namespaces: [team-a]}, `, "", 1))
}

func (a associated) there() bool { return a.composed[a.key] != nil }

func (a associated) name() string {
	return str(a.composed[a.key], "metadata", "annotations", "crossplane.io/external-name")
}

// edits of what is found.
func asItIs(map[string]any) {}

func setting(field string, value any) func(map[string]any) {
	return func(at map[string]any) { at[field] = value }
}

// TestHandOver holds that an association which EKS had made as its provider was killed is
// handed over to the object that it was made for, and to no other.
func TestHandOver(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		reason string
		claims bool
		edit   func(at map[string]any)
		want   string
	}{
		"Ours":           {"the tag says that it was made for this claim", false, asItIs, lostID},
		"OursOfAClaim":   {"the same where claims have composite resources", true, asItIs, lostID},
		"Untagged":       {"somebody has made it by hand", false, setting("tagsAll", nil), ""},
		"AnotherClaim":   {"a claim of that name was deleted, or restored: whether it is for this one, a person says", false, setting("tagsAll", map[string]any{"serviceconnections.io/composed-by": "other"}), ""},
		"NamesOnly":      {"two control planes may call an object the same, and the provider's own tags say no more", false, setting("tagsAll", map[string]any{"crossplane-kind": "podidentityassociation.eks.aws.m.upbound.io", "crossplane-name": "shop-api-association"}), ""},
		"OtherNamespace": {"it gives another namespace's pods a role", false, setting("namespace", "team-b"), ""},
		"OtherAccount":   {"it gives other pods a role", false, setting("serviceAccount", "shop-web"), ""},
		"OtherCluster":   {"it is another cluster's", false, setting("clusterName", "prod-us"), ""},
		"OtherID":        {"it isn't the one that EKS has named", false, setting("associationId", "a-other"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAssociated(t, tc.claims)
			a.begin(triedAt)
			a.fail(exists, answeredAt)
			a.reconcile()
			want(t, "", a.name(), "external name before it is known whose the association is")
			want(t, "Creating", a.reason("api", "awsRole"), "reason before that")
			f := a.finder()
			if f == nil {
				t.Fatalf("no object reads the association that EKS has, and %s", tc.reason)
			}
			want(t, lostID, str(f, "metadata", "annotations", "crossplane.io/external-name"), "external name of what reads it")
			if got := list(f, "spec", "managementPolicies"); len(got) != 1 || got[0] != "Observe" {
				t.Errorf("managementPolicies of what reads it: want [Observe], got %v", got)
			}

			a.find(tc.edit)
			a.reconcile()
			want(t, tc.want, a.name(), "external name, since "+tc.reason)
			if tc.want == "" {
				for range 2 {
					want(t, "AssociationExists", a.reason("api", "awsRole"), "reason")
					a.reconcile()
				}
				want(t, true, a.finder() != nil, "what reads it is there, since it says whose it is")
				return
			}
			want(t, "Creating", a.reason("api", "awsRole"), "reason while the provider doesn't know yet")
			for range 2 {
				a.reconcile()
				want(t, tc.want, a.name(), "external name that stays")
				want(t, "Creating", a.reason("api", "awsRole"), "reason that stays")
				want(t, true, a.finder() == nil, "what reads it is gone")
			}
		})
	}
}

// TestHandOverWaits for whatever reads the association, and tells a person what to do
// where that can't be.
func TestHandOverWaits(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct{ failure, want string }{
		"Denied": {"observe failed: reading EKS Pod Identity Association: " + denied, "AssociationExists"},
		"Gone":   {"observe failed: external resource does not exist", "Creating"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAssociated(t, false)
			a.begin(triedAt)
			a.fail(exists, answeredAt)
			a.reconcile()
			a.finder()["status"] = map[string]any{"conditions": []any{
				map[string]any{"type": "Synced", "status": "False", "reason": "ReconcileError", "message": tc.failure},
			}}
			a.reconcile()
			want(t, "", a.name(), "external name")
			want(t, tc.want, a.reason("api", "awsRole"), "reason")
		})
	}
}

// TestRevokeBeforeHandOver holds that a grant isn't let go while EKS may have what its
// provider made: without a name, its provider would let it go, and the association stays.
func TestRevokeBeforeHandOver(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		reason string
		edit   func(a associated)
		kept   bool
	}{
		"Begun":         {"its provider may have been killed since", func(associated) {}, true},
		"NeverBegun":    {"EKS has nothing that nobody has asked it for", func(a associated) { a.begin("") }, false},
		"Interrupted":   {"its provider waits to be told to go on", func(a associated) { a.annotate("crossplane.io/external-create-succeeded", "") }, true},
		"Denied":        {"what may not be made may have been made before", func(a associated) { a.begin(triedAt); a.fail(denied, answeredAt) }, true},
		"Refused":       {"EKS gives nothing by a role that doesn't let it in", func(a associated) { a.begin(triedAt); a.fail(untrusted, answeredAt) }, false},
		"RefusedBefore": {"the last try may have been answered otherwise, and its provider killed", func(a associated) { a.fail(untrusted, killedAt); a.begin(triedAt) }, true},
		"InUse":         {"it may be the one that the provider made", func(a associated) { a.begin(triedAt); a.fail(exists, answeredAt) }, true},
		"Named":         {"its provider finds it by its name", func(a associated) { a.annotate("crossplane.io/external-name", lostID) }, false},
	} {
		for edit, undo := range map[string]func(a associated){
			"Revoked": associated.revoke,
			"Left":    func(a associated) { a.setServices(service("api")) },
		} {
			t.Run(name+"/"+edit, func(t *testing.T) {
				t.Parallel()
				a := newAssociated(t, false)
				tc.edit(a)
				undo(a)
				a.reconcile()
				want(t, tc.kept, a.there(), "there, since "+tc.reason)
				if tc.kept {
					a.reconcile()
					want(t, true, a.there(), "still there")
				}
			})
		}
	}
}

// TestRevokeAfterHandOver holds that what is kept until its name is known goes then, and
// that somebody else's association holds nothing back.
func TestRevokeAfterHandOver(t *testing.T) {
	t.Parallel()

	for name, claims := range map[string]bool{"Namespaced": false, "Claims": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAssociated(t, claims)
			a.revoke()
			a.reconcile()
			a.begin(triedAt)
			a.fail(exists, answeredAt)
			a.reconcile()
			a.find(asItIs)
			a.reconcile()
			want(t, true, a.there(), "there until its name is written")
			want(t, lostID, a.name(), "external name")
			a.reconcile()
			want(t, 0, len(a.keys("PodIdentityAssociation")), "objects, now that its provider can delete what it stands for")
		})
	}

	t.Run("SomebodyElses", func(t *testing.T) {
		t.Parallel()
		a := newAssociated(t, false)
		a.begin(triedAt)
		a.fail(exists, answeredAt)
		a.reconcile()
		a.find(setting("tagsAll", nil))
		a.revoke()
		a.reconcile()
		want(t, 0, len(a.keys("PodIdentityAssociation")), "objects")
	})

	t.Run("MadeAfterAll", func(t *testing.T) {
		t.Parallel()
		a := newAssociated(t, false)
		a.revoke()
		a.reconcile()
		want(t, true, a.there(), "there while its provider is at it")
		a.provide()
		a.begin(killedAt)
		a.reconcile()
		want(t, false, a.there(), "there once its provider knows it")
	})
}

// TestRoleStaysUntilHandOver holds that a created role stays while EKS may have an unknown
// association with it: EKS looks at the role first, and would say nothing else of it. What
// the role may do goes at once.
func TestRoleStaysUntilHandOver(t *testing.T) {
	t.Parallel()

	c := newCluster(t, service("api", inline("s3:GetObject")), creating(createList))
	c.settle()
	a := lostAssociation(c, "shop-api")
	c.setSettings(creating(strings.Replace(createList, "[team-a]", "[]", 1)))
	c.reconcile()
	want(t, []int{2, 1, 0, 0}, []int{len(c.keys("PodIdentityAssociation")), len(c.keys("Role")), len(c.keys("Policy")), len(c.keys("RolePolicyAttachment"))}, "associations, roles, policies and attachments while it is looked up")
	a.find(asItIs)
	c.reconcile()
	want(t, lostID, a.name(), "external name")
	c.reconcile()
	want(t, []int{0, 0}, []int{len(c.keys("PodIdentityAssociation")), len(c.keys("Role"))}, "associations and roles in the end")
}

// TestHandOverAfterInterruption holds that a provider which was told to go on, and fails
// before it gets to that, isn't taken for one that has made nothing.
func TestHandOverAfterInterruption(t *testing.T) {
	t.Parallel()

	a := newAssociated(t, false)
	a.annotate("crossplane.io/external-create-succeeded", "")
	a.object()["status"] = map[string]any{"conditions": []any{
		map[string]any{"type": "Ready", "status": "False", "reason": "Creating"},
		map[string]any{"type": "Synced", "status": "False", "reason": "ReconcileError", "message": "cannot determine creation result - remove the crossplane.io/external-create-pending annotation if it is safe to proceed"},
	}}
	a.revoke()
	a.reconcile()
	want(t, true, a.there(), "there once its provider may go on")
	a.object()["status"] = map[string]any{"conditions": []any{
		map[string]any{"type": "Ready", "status": "False", "reason": "Creating"},
		map[string]any{"type": "Synced", "status": "False", "reason": "ReconcileError", "message": "connect failed: cannot get terraform setup: cannot get the caller identity"},
	}}
	for range 3 {
		a.reconcile()
		want(t, true, a.there(), "there while its provider can't go on")
	}
}

// TestTagOfAnAssociation holds that an association is made with the tag which proves whose
// it is, and that one which is there already isn't changed for that.
func TestTagOfAnAssociation(t *testing.T) {
	t.Parallel()

	tag := func(a associated) string {
		return str(a.composed[a.key], "spec", "forProvider", "tags", "serviceconnections.io/composed-by")
	}
	for name, tc := range map[string]struct {
		reason string
		edit   func(a associated)
		want   string
	}{
		"New":           {"it is there before the association is", func(associated) {}, xrUID},
		"FormerVersion": {"an association that works isn't changed in the cloud by an upgrade", func(a associated) { a.provide(); untag(a) }, ""},
		"NotThereYet":   {"one that isn't made yet gets it", func(a associated) { untag(a) }, xrUID},
		"Restored": {"nor by a restore, which gives the claim another UID", func(a associated) {
			a.provide()
			a.composed[a.key]["spec"].(map[string]any)["forProvider"].(map[string]any)["tags"] = map[string]any{"serviceconnections.io/composed-by": "former"}
		}, "former"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAssociated(t, false)
			tc.edit(a)
			a.reconcile()
			want(t, tc.want, tag(a), "tag: "+tc.reason)
		})
	}
}

// untag an association, as a version of the function composed it that knew no tags.
func untag(a associated) {
	delete(a.composed[a.key]["spec"].(map[string]any)["forProvider"].(map[string]any), "tags")
}
