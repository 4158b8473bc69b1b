package fn

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

// A follower looks at a team's ServiceConnection after each single write, as Flux and
// Argo CD may, while Crossplane reconciles it and the team edits it. It plays those
// writes in the order in which Crossplane makes them
// (internal/controller/apiextensions, composite and claim, in v2.4.0).
type follower struct {
	*cluster

	rt rapid.TB

	// draw of the steps, nil where there are none.
	draw *rapid.T

	// claim that the team has applied, nil where that is the composite resource.
	claim map[string]any

	// conditions of the composite resource, which what plays Crossplane in the cluster
	// knows nothing of.
	conditions []any

	// claiming is how far Crossplane has got with the claim, while it is about the composite
	// resource, too.
	claiming claiming

	// edits counts what the team has done, and synced those that the composite resource
	// has in its spec.
	edits, synced int

	// said is what the function has said of the spec as an edit left it.
	said map[int]map[string]bool

	// mistaken are edits of which the composite resource says that it is ready, by a run
	// that knew only the edit before: Crossplane says of what generation Ready is only as
	// it writes it. Nobody can tell that from a Ready of that edit, so the generation may
	// be told a moment too early where a later step is what isn't ready.
	mistaken map[int]bool

	// late are the composite resource and the claim as Crossplane's cache has them that
	// has yet to hear of the last write, nil where it has heard.
	late *written

	// written are the composite resource and the claim as they stood after each write, with
	// synced, and read is how far Crossplane's caches of them have got.
	written []written
	read    [2]int
}

// written is what stood after a write.
type written struct {
	xr, claim map[string]any
	synced    int
}

// claiming is a reconcile of a claim: how many of its writes are made, of which generation
// of the claim, and the status that the composite resource had after the first.
type claiming struct {
	writes     int
	generation int64
	status     map[string]any
	conditions []any
}

// editsOfATeam to its ServiceConnection. What becomes of them depends on the cloud, too.
var editsOfATeam = map[string]string{
	"Role":        service("api", awsConnection),
	"Containers":  "- {name: api, containers: [api], connections: [" + awsConnection + "]}\n",
	"OtherRole":   service("api", strings.ReplaceAll(awsConnection, "my-app-s3", "my-app-other")),
	"NotAllowed":  service("api", strings.ReplaceAll(awsConnection, "my-app-s3", "theirs")),
	"NoSuchDisk":  service("api", diskConnection),
	"TwoServices": service("api", awsConnection) + service("worker", awsConnection),
	"Nothing":     "[]",
}

func newFollower(t *testing.T, rt rapid.TB, claims bool) *follower {
	t.Helper()
	f := &follower{cluster: newCluster(t, editsOfATeam["Role"], allSettings), rt: rt, said: map[int]map[string]bool{}, mistaken: map[int]bool{}}
	f.draw, _ = rt.(*rapid.T)
	f.errorf = rt.Errorf
	if claims {
		f.claimMode()
		spec := f.xr["spec"].(map[string]any)
		spec["claimRef"] = map[string]any{"apiVersion": "serviceconnections.io/v1alpha1", "kind": "ServiceConnection", "namespace": "team-a", "name": "shop"}
		f.claim = map[string]any{
			"apiVersion": "serviceconnections.io/v1alpha1", "kind": "ServiceConnection",
			"metadata": map[string]any{"namespace": "team-a", "name": "shop", "generation": int64(1)},
			"spec":     map[string]any{"services": spec["services"], "resourceRef": map[string]any{"name": "shop-x7k2p"}},
		}
		f.objects[objectKey(f.claim)] = f.claim
	}
	metadata := f.xr["metadata"].(map[string]any)
	metadata["generation"] = int64(1)
	return f
}

// applied is what the team has applied.
func (f *follower) applied() map[string]any {
	if f.claim != nil {
		return f.claim
	}
	return f.xr
}

func generationOf(o map[string]any) int64 {
	g, _ := fieldAt(o, []string{"metadata", "generation"}).(int64)
	return g
}

func bump(o map[string]any) {
	metadata, _ := o["metadata"].(map[string]any)
	metadata["generation"] = generationOf(o) + 1
}

// edit what the team has applied.
func (f *follower) edit(name string) {
	var services []any
	if err := yaml.Unmarshal([]byte(editsOfATeam[name]), &services); err != nil {
		f.t.Fatal(err)
	}
	spec, _ := f.applied()["spec"].(map[string]any)
	if cmp.Equal(spec["services"], any(services)) {
		return
	}
	spec["services"] = services
	bump(f.applied())
	f.edits++
	if f.claim == nil {
		f.synced = f.edits
	}
	f.look("edit to " + name)
}

// store a status of the composite resource: with its conditions, and with the default
// of the schema.
func (f *follower) store(status map[string]any) {
	if _, ok := status["observedGeneration"]; !ok {
		status["observedGeneration"] = int64(-1)
	}
	if f.conditions != nil {
		status["conditions"] = slices.Clone(f.conditions)
	}
	f.xr["status"] = status
}

// reconcileComposite as Crossplane does; meanwhile happens before it writes the status.
// What a later step composes is ready, or not.
func (f *follower) reconcileComposite(later bool, meanwhile func()) {
	f.reconcileBetween(later, meanwhile, f.claimSomehow)
}

// reconcileBetween is reconcileComposite; between happens after Crossplane has written the
// status, and before it writes the conditions.
func (f *follower) reconcileBetween(later bool, meanwhile, between func()) {
	of, read := f.synced, f.conditions
	if f.late != nil {
		of, read = f.late.synced, list(f.late.xr, "status", "conditions")
	} else {
		f.read = [2]int{max(0, len(f.written)-1), max(0, len(f.written)-1)}
	}
	refs := slices.Sorted(maps.Keys(f.composed))
	status := f.reconcileFromCache()
	f.hear(of, later)
	if !slices.Equal(refs, slices.Sorted(maps.Keys(f.composed))) {
		bump(f.xr) // It refers to what it has composed, in its spec.
	}
	meanwhile()
	f.applyAgain(read)
	f.store(status)
	f.look("status of the composite resource")
	between()

	for _, c := range f.rsp.GetConditions() {
		f.conditions = replace(f.conditions, c.GetType(), map[string]any{
			"status": statuses[c.GetStatus()], "reason": c.GetReason(), "message": c.GetMessage(),
		})
	}
	f.conditions = replace(f.conditions, "Ready", readiness(f.ready() && later, generationOf(f.xr)))
	f.mistaken[f.synced] = f.mistaken[f.synced] || f.synced != of
	f.store(status)
	f.look("conditions of the composite resource")
}

// applyAgain the conditions that Crossplane has read, as it does beside the status, and so
// over those that it has written since. A message of these belongs to another manager of
// fields, and stays where the ones that are applied have none.
func (f *follower) applyAgain(read []any) {
	messages := map[any]any{}
	for _, v := range f.conditions {
		c, _ := v.(map[string]any)
		messages[c["type"]] = c["message"]
	}
	for _, v := range read {
		of, _ := v.(map[string]any)
		c := maps.Clone(of)
		typ, _ := c["type"].(string)
		if message := messages[typ]; message != nil && c["message"] == nil {
			c["message"] = message
		}
		f.conditions = replace(f.conditions, typ, c)
	}
}

// reconcileFromCache as far as Crossplane writes no status, and return that.
func (f *follower) reconcileFromCache() map[string]any {
	xr := f.xr
	was, written := xr["status"]
	if f.late != nil {
		f.xr = f.late.xr
		if f.claim != nil {
			f.objects[objectKey(f.claim)] = f.late.claim
		}
	}
	f.reconcile()
	status, _ := f.xr["status"].(map[string]any)
	f.xr, f.late = xr, nil
	if f.claim != nil {
		f.objects[objectKey(f.claim)] = f.claim
	}
	delete(xr, "status")
	if written {
		xr["status"] = was
	}
	return status
}

// now is what there is, for whoever may write to it.
func (f *follower) now() written {
	return written{toJSON(f.t, f.xr), toJSON(f.t, f.claim), f.synced}
}

// lag remembers what there is now as what Crossplane's cache has.
func (f *follower) lag() {
	w := f.now()
	f.late = &w
}

// lagSomehow lets Crossplane's caches be as far as they may be, each by itself, but for what
// they have told already.
func (f *follower) lagSomehow() {
	if len(f.written) == 0 {
		return
	}
	for i := range f.read {
		f.read[i] = rapid.IntRange(f.read[i], len(f.written)-1).Draw(f.draw, "cache")
	}
	xr, claim := f.written[f.read[0]], f.written[f.read[1]]
	f.late = &written{toJSON(f.t, xr.xr), toJSON(f.t, claim.claim), xr.synced}
}

var statuses = map[fnv1.Status]string{
	fnv1.Status_STATUS_CONDITION_TRUE:    "True",
	fnv1.Status_STATUS_CONDITION_FALSE:   "False",
	fnv1.Status_STATUS_CONDITION_UNKNOWN: "Unknown",
}

// hear what the function says of the spec as an edit left it.
func (f *follower) hear(edit int, later bool) {
	if f.said[edit] == nil {
		f.said[edit] = map[string]bool{}
	}
	for _, c := range f.rsp.GetConditions() {
		switch {
		case c.GetStatus() != fnv1.Status_STATUS_CONDITION_TRUE:
		case c.GetType() == "Connected" && (later || f.mistaken[edit]):
			f.said[edit]["Current"] = true
		case c.GetType() == "Stalled":
			f.said[edit]["Failed"] = true
		}
	}
}

func readiness(ready bool, generation int64) map[string]any {
	c := map[string]any{"status": "False", "reason": "Creating", "observedGeneration": generation}
	if ready {
		c["status"], c["reason"] = "True", "Available"
	}
	return c
}

// replace the condition of a type.
func replace(conditions []any, typ string, c map[string]any) []any {
	c["type"] = typ
	if c["message"] == "" {
		delete(c, "message")
	}
	for i, was := range conditions {
		if was.(map[string]any)["type"] == typ {
			conditions = slices.Clone(conditions)
			conditions[i] = c
			return conditions
		}
	}
	return append(slices.Clone(conditions), c)
}

// reconcileClaim as Crossplane does, after what it is at.
func (f *follower) reconcileClaim() {
	for f.claiming.writes > 0 {
		f.writeClaim()
	}
	for f.writeClaim(); f.claiming.writes > 0; {
		f.writeClaim()
	}
}

// claimSomehow lets Crossplane get further with the claim, or not.
func (f *follower) claimSomehow() {
	if f.claim == nil || f.draw == nil {
		return
	}
	for range rapid.IntRange(0, 3).Draw(f.draw, "writes for the claim") {
		f.writeClaim()
	}
}

// writeClaim as Crossplane does next: the spec goes to the composite resource, whose
// status comes back as it is, and then the conditions, all with the claim's generation.
// Whatever else happens to the claim meanwhile makes it begin anew.
func (f *follower) writeClaim() {
	c := f.claiming
	switch {
	case c.writes > 0 && c.generation != generationOf(f.claim):
		f.claiming = claiming{}
	case c.writes == 0:
		f.syncClaim()
	case c.writes == 1:
		f.claiming.writes++
		status := runtime.DeepCopyJSON(c.status)
		if was, ok := fieldAt(f.claim, []string{"status", "conditions"}).([]any); ok {
			status["conditions"] = was
		}
		f.claim["status"] = status
		f.look("status of the claim")
	default:
		f.claiming = claiming{}
		f.concludeClaim(c.conditions)
	}
}

// syncClaim writes its spec into the composite resource, and reads what that says.
func (f *follower) syncClaim() {
	theirs, _ := f.claim["spec"].(map[string]any)
	spec, _ := f.xr["spec"].(map[string]any)
	if !cmp.Equal(theirs["services"], spec["services"]) {
		spec["services"] = theirs["services"]
		bump(f.xr)
	}
	f.synced = f.edits
	of, ok := f.xr["status"].(map[string]any)
	if !ok {
		return
	}
	status := runtime.DeepCopyJSON(toJSON(f.t, of))
	delete(status, "conditions")
	f.claiming = claiming{writes: 1, generation: generationOf(f.claim), status: status, conditions: f.conditions}
}

// concludeClaim writes the conditions that the composite resource had.
func (f *follower) concludeClaim(theirs []any) {
	status, _ := f.claim["status"].(map[string]any)
	conditions, _ := status["conditions"].([]any)
	ready := false
	for _, v := range theirs {
		c := maps.Clone(v.(map[string]any))
		if c["type"] == "Ready" {
			ready = c["status"] == "True"
			continue
		}
		c["observedGeneration"] = generationOf(f.claim)
		typ, _ := c["type"].(string)
		conditions = replace(conditions, typ, c)
	}
	status["conditions"] = replace(conditions, "Ready", readiness(ready, generationOf(f.claim)))
	f.look("conditions of the claim")
}

// toJSON is an object as the API server would return it: numbers are int64 or float64.
func toJSON(tb testing.TB, o map[string]any) map[string]any {
	tb.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string]any{}
	if err := yaml.Unmarshal(b, &out); err != nil {
		tb.Fatal(err)
	}
	return out
}

// says is what GitOps reads in an object, as kstatus does: nothing of a generation that
// isn't observed, then whether it has stalled, and then whether it is ready.
func says(o map[string]any) string {
	conditions := map[string]string{}
	for _, v := range list(o, "status", "conditions") {
		c, _ := v.(map[string]any)
		typ, _ := c["type"].(string)
		conditions[typ], _ = c["status"].(string)
	}
	observed := fmt.Sprint(fieldAt(o, []string{"status", "observedGeneration"}))
	switch {
	case observed != fmt.Sprint(generationOf(o)):
		return "InProgress"
	case conditions["Stalled"] == "True":
		return "Failed"
	case conditions["Ready"] != "" && conditions["Ready"] != "True":
		return "InProgress"
	default:
		return "Current"
	}
}

// look at what the team has applied: it may be told as current or as failed only where
// the function has said so of the spec as it is since the last edit.
func (f *follower) look(at string) {
	f.written = append(f.written, f.now())
	said := says(f.applied())
	if said != "InProgress" && !f.said[f.edits][said] {
		f.rt.Errorf("after the %s, it is told as %s, which was never said of its spec:\n%s", at, said, f.describe())
	}
}

func (f *follower) describe() string {
	b, err := yaml.Marshal(f.applied())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// step of anybody.
func (f *follower) step() {
	later := func() bool { return rapid.IntRange(0, 4).Draw(f.draw, "later step") > 0 }
	draw := func() string {
		return rapid.SampledFrom(slices.Sorted(maps.Keys(editsOfATeam))).Draw(f.draw, "edit")
	}
	switch rapid.SampledFrom([]string{"edit", "reconcile", "reconcile", "reconcile", "overtaken", "late", "lagging", "lagging", "interrupt", "provide", "forget", "restore"}).Draw(f.draw, "step") {
	case "edit":
		f.edit(draw())
	case "overtaken":
		// The team edits while the function is asked.
		f.reconcileComposite(later(), func() { f.edit(draw()) })
	case "late":
		// Crossplane hears of an edit while the function is asked, and looks again
		// before it has heard of what it wrote itself.
		f.reconcileComposite(later(), func() {
			f.edit(draw())
			if f.claim != nil {
				f.reconcileClaim()
			}
			f.lag()
		})
		f.reconcileComposite(later(), func() {})
	case "lagging":
		f.lagSomehow()
		f.reconcileComposite(later(), f.claimSomehow)
	case "interrupt":
		// A write for the claim failed, or Crossplane was restarted, and it begins anew.
		f.claiming = claiming{}
	case "provide":
		f.provide()
	case "forget":
		// A provider has lost sight of what it has made.
		for _, o := range f.composed {
			delete(o, "status")
		}
	case "restore":
		// From a backup, of an object that had seen more generations.
		if status, ok := f.xr["status"].(map[string]any); ok {
			status["observedGeneration"] = generationOf(f.applied()) + 1
		}
		f.reconcileComposite(later(), func() {})
	default:
		f.reconcileComposite(later(), func() {})
	}
	if f.claim != nil && rapid.Bool().Draw(f.draw, "reconcile the claim") {
		f.reconcileClaim()
	}
}

// rest until nobody writes any more.
func (f *follower) rest() {
	for range 20 {
		before := f.describe() + f.snapshot()
		f.reconcileComposite(true, func() {})
		if f.claim != nil {
			f.reconcileClaim()
		}
		f.provide()
		if before == f.describe()+f.snapshot() {
			return
		}
	}
	f.rt.Fatalf("it doesn't come to rest:\n%s", f.describe())
}

// TestNeverTooEarly follows a ServiceConnection through edits, at each of Crossplane's
// writes: what GitOps reads is true of the spec as it is, and comes in the end.
func TestNeverTooEarly(t *testing.T) {
	t.Parallel()
	for name, claims := range map[string]bool{"Namespaced": false, "Claims": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				f := newFollower(t, rt, claims)
				if rapid.Bool().Draw(rt, "begins at rest") {
					f.rest()
				}
				for range rapid.IntRange(1, 12).Draw(rt, "steps") {
					f.step()
				}
				f.rest()
				if said := says(f.applied()); said == "InProgress" {
					rt.Errorf("it rests, and is told as %s:\n%s", said, f.describe())
				}
			})
		})
	}
}

// TestLateCache: an edit overtakes the reconcile that finds all of a later step ready, and
// then it no longer is. Crossplane has written Ready of the former spec, and its cache
// still has what stood before, of which the function would write the same now.
func TestLateCache(t *testing.T) {
	t.Parallel()
	f := newFollower(t, t, false)
	f.rest()
	f.reconcileComposite(false, func() {})
	f.reconcileComposite(true, func() {
		f.edit("Containers")
		f.lag()
	})
	f.reconcileComposite(false, func() {})
}

// TestClaimOfAMoment: Crossplane looks again at the composite resource before its cache has
// what it wrote itself, and so applies the conditions of before an edit, until it writes
// them right. The claim gets them in that moment, after it had the right ones, and the
// function is asked with a claim that still has those.
func TestClaimOfAMoment(t *testing.T) {
	t.Parallel()
	f := newFollower(t, t, true)
	f.rest()
	f.edit("NotAllowed")
	f.reconcileClaim()
	edited := f.now()
	f.reconcileComposite(true, func() {})
	f.reconcileClaim()
	told := f.now()
	f.late = &edited
	f.reconcileBetween(true, func() {}, f.reconcileClaim)
	for range 2 {
		f.late = &written{xr: f.now().xr, claim: told.claim, synced: f.synced}
		f.reconcileComposite(true, func() {})
	}
	f.reconcileClaim()
	f.rest()
	if said := says(f.applied()); said != "Failed" {
		t.Errorf("it rests, and is told as %s:\n%s", said, f.describe())
	}
}

// TestClaimInterrupted: Crossplane writes the new status into a claim beside its former
// conditions, and is interrupted before it has written the new ones, too. When it begins
// anew, the former ones stand beside the status as it is then.
func TestClaimInterrupted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		before string
		edit   string
		later  bool
	}{
		"Connected":  {reason: "the former conditions say that it is connected", before: "Role", edit: "NotAllowed", later: true},
		"NotAllowed": {reason: "the former conditions say that it has stalled", before: "NotAllowed", edit: "OtherRole", later: true},
		"LaterStep":  {reason: "only the former Ready is wrong, since what a later step composes isn't ready any more", before: "Role", edit: "Containers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFollower(t, t, true)
			f.edit(tc.before)
			f.rest()
			f.edit(tc.edit)
			f.reconcileClaim()
			for range 3 {
				f.reconcileComposite(tc.later, func() {})
				f.writeClaim()
				f.writeClaim()
				f.claiming = claiming{}
			}
			if says(f.claim) != "InProgress" {
				t.Errorf("%s:\n%s", tc.reason, f.describe())
			}
		})
	}
}

// TestReadyIsToldAtOnce: what was in progress on the way tells its generation there, so
// that the run which finds it ready is the last one.
func TestReadyIsToldAtOnce(t *testing.T) {
	t.Parallel()
	for name, claims := range map[string]bool{"Namespaced": false, "Claims": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFollower(t, t, claims)
			for range 10 {
				f.reconcileComposite(true, func() {})
				if f.claim != nil {
					f.reconcileClaim()
				}
				if condition(toStruct(t, f.applied()), "Ready")["status"].GetStringValue() == "True" {
					break
				}
				f.provide()
			}
			if said := says(f.applied()); said != "Current" {
				t.Errorf("once it is ready, it is told as %s:\n%s", said, f.describe())
			}
		})
	}
}

// TestUntoldIsLookedAtSoon: a run that finds all ready and can't say yet of which generation
// that is relies on an event for the next one, and an event may be lost.
func TestUntoldIsLookedAtSoon(t *testing.T) {
	t.Parallel()
	for name, claims := range map[string]bool{"Namespaced": false, "Claims": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFollower(t, t, claims)
			f.rest()
			if got := f.rsp.GetMeta().GetTtl().AsDuration(); got != ttlReady {
				t.Errorf("at rest Crossplane asks again after %s, want %s", got, ttlReady)
			}
			bump(f.applied())
			f.reconcileComposite(true, func() {})
			if said := says(f.applied()); said != "InProgress" {
				t.Fatalf("after an edit that Crossplane has yet to take up it is told as %s", said)
			}
			if got := f.rsp.GetMeta().GetTtl().AsDuration(); got != ttlPending {
				t.Errorf("while its generation isn't told Crossplane asks again after %s, want %s", got, ttlPending)
			}
		})
	}
}

// TestGenerationIsNotTold where a schema has no room for it, or somebody else tells it.
func TestGenerationIsNotTold(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		status map[string]any
		theirs map[string]any
		want   any
	}{
		"NoField": {
			reason: "a schema that lacks the field lacks its default, and the API server would refuse the whole status for it",
			status: map[string]any{"connected": "1/1"},
		},
		"NoStatus": {
			reason: "nothing has been written yet, so nobody knows",
		},
		"Default": {
			reason: "the conditions aren't those of this generation yet",
			status: map[string]any{"observedGeneration": int64(-1)},
			want:   float64(-1),
		},
		"OfAnEarlierStep": {
			reason: "an earlier step tells of its own",
			status: map[string]any{"observedGeneration": int64(-1)},
			theirs: map[string]any{"observedGeneration": float64(7)},
			want:   float64(7),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, service("api", awsConnection), allSettings)
			c.settle()
			delete(c.xr, "status")
			if tc.status != nil {
				c.xr["status"] = tc.status
			}
			if tc.theirs != nil {
				c.desired = &fnv1.State{Composite: &fnv1.Resource{Resource: toStruct(t, map[string]any{"status": tc.theirs})}}
			}
			got := fieldAt(c.run().GetDesired().GetComposite().GetResource().AsMap(), []string{"status", "observedGeneration"})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestClaimIsDispensable: a request that is too large with it is read without, and keeps
// what was told.
func TestClaimIsDispensable(t *testing.T) {
	t.Parallel()
	f := newFollower(t, t, true)
	f.rest()
	req := f.request()
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(req.GetRequiredResources())), func(n string) bool { return !isClaim(n) })
	if len(names) != 1 || !Dispensable(names[0]) {
		t.Fatalf("want the function to require the claim, and to do without, it requires %v", slices.Sorted(maps.Keys(req.GetRequiredResources())))
	}
	delete(req.GetRequiredResources(), names[0])
	rsp, err := f.fn.RunFunction(Lightened(t.Context()), req)
	if err != nil {
		t.Fatal(err)
	}
	if got := fieldAt(rsp.GetDesired().GetComposite().GetResource().AsMap(), []string{"status", "observedGeneration"}); got != float64(generationOf(f.claim)) {
		t.Errorf("want what was told of generation %d to stay, got %v", generationOf(f.claim), got)
	}
}
