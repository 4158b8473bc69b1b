package follow

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/serviceconnections/function-service-connections/test/watched"
)

var resource = schema.GroupVersionResource{Group: "example.org", Version: "v1", Resource: "things"}

func object(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.org/v1", "kind": "Thing", "metadata": map[string]any{"namespace": "team-a", "name": name},
	}}
}

// read keeps an object's name only.
func read(o map[string]any) *metav1.PartialObjectMetadata {
	u := unstructured.Unstructured{Object: o}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: u.GetNamespace(), Name: u.GetName(), ResourceVersion: u.GetResourceVersion()}}
}

// names are a store of nothing else.
type names struct {
	mu  sync.Mutex
	all map[string]bool
}

func (n *names) Put(o *metav1.PartialObjectMetadata) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all[o.Name] = true
}

func (n *names) Remove(name types.NamespacedName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.all, name.Name)
}

func (n *names) has(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all[name]
}

// TestAll holds that what is kept is what is there, that it goes with its object, and
// that a failure of the API server is told.
func TestAll(t *testing.T) {
	t.Parallel()

	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{resource: "ThingList"}, object("there"))
	var mu sync.Mutex
	var told []error
	failed := false
	client.PrependReactor("list", "things", func(kubetesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		if failed {
			return false, nil, nil
		}
		failed = true
		return true, nil, errors.New("the API server is away")
	})
	store := &names{all: map[string]bool{}}
	all := All(Options[*metav1.PartialObjectMetadata]{
		Client: client, Resource: resource, Read: read, Store: store,
		Asked: func(err error) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, err)
		},
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { all.RunWithContext(ctx); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	until := func(what string, is func() bool) {
		t.Helper()
		if err := wait.PollUntilContextTimeout(ctx, 5*time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) { return is(), nil }); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	until("what was there", func() bool { return all.HasSynced() && store.has("there") })
	until("the watch", func() bool { return watched.Is(client, resource.Resource) })
	things := client.Resource(resource).Namespace("team-a")
	if _, err := things.Create(ctx, object("new"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	until("what comes", func() bool { return store.has("new") })
	if err := things.Delete(ctx, "there", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until("what goes", func() bool { return !store.has("there") && store.has("new") })

	mu.Lock()
	defer mu.Unlock()
	if len(told) < 2 || told[0] == nil || told[len(told)-1] != nil {
		t.Errorf("want to be told of the failure, and of the success after it, got %v", told)
	}
}

// A pager serves objects by the page, as the API server does and the client
// for tests doesn't.
type pager struct {
	dynamic.ResourceInterface

	all     []*unstructured.Unstructured
	largest int64
}

func (p *pager) List(_ context.Context, o metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	p.largest = max(p.largest, o.Limit)
	begin := 0
	if o.Continue != "" {
		var err error
		if begin, err = strconv.Atoi(o.Continue); err != nil {
			return nil, err
		}
	}
	end := min(begin+int(o.Limit), len(p.all))
	page := &unstructured.UnstructuredList{}
	page.SetResourceVersion("7")
	for _, u := range p.all[begin:end] {
		page.Items = append(page.Items, *u)
	}
	if end < len(p.all) {
		page.SetContinue(strconv.Itoa(end))
	}
	return page, nil
}

// TestListByThePage holds that an API server which can't stream what is there is never
// asked for all of it at once, and that nothing is lost between the pages.
func TestListByThePage(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, listPage, 3*listPage + 1} {
		p := &pager{}
		for i := range n {
			p.all = append(p.all, object(fmt.Sprintf("claim-%d", i)))
		}
		got, err := list(t.Context(), p, read)
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, c := range got.Items {
			names[c.Name] = true
		}
		if len(names) != n || len(got.Items) != n || got.ResourceVersion != "7" {
			t.Errorf("of %d objects, %d are kept, at version %q", n, len(names), got.ResourceVersion)
		}
		if p.largest == 0 || p.largest > listPage {
			t.Errorf("%d are asked for at once, want at most %d", p.largest, listPage)
		}
		items, err := meta.ExtractList(got)
		if err != nil || len(items) != n {
			t.Errorf("the watch finds %d of %d in the list: %v", len(items), n, err)
		}
	}
}
