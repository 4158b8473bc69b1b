package exporter

import (
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
)

// maxStale is how long what is kept counts as what is there while the API server doesn't
// answer. A restart of it takes less.
const maxStale = time.Minute

// The metrics. What a claim has to do with none of them tells of itself, so there are as
// many series as there is something to look after. docs/monitoring.md explains them.
var (
	watchedDesc = prometheus.NewDesc("serviceconnections_watched",
		"Objects that are watched, by kind.", []string{"kind"}, nil)
	connectionsDesc = prometheus.NewDesc("serviceconnections_connections",
		"Connections of all ServiceConnections, by namespace, type and reason.", []string{"namespace", "type", "reason"}, nil)
	notesDesc = prometheus.NewDesc("serviceconnections_notes",
		"Warnings of connections and notes on services, by namespace and reason.", []string{"namespace", "reason"}, nil)
	unsyncedDesc = prometheus.NewDesc("serviceconnections_claim_unsynced",
		"1 where Crossplane can't reconcile a ServiceConnection, so that nothing of it is granted or revoked.", []string{"namespace", "name", "reason"}, nil)
	stalledDesc = prometheus.NewDesc("serviceconnections_claim_stalled",
		"1 where a ServiceConnection waits for somebody to do something.", []string{"namespace", "name", "reason"}, nil)
	pausedDesc = prometheus.NewDesc("serviceconnections_claim_paused",
		"1 where somebody has paused a ServiceConnection, so that nothing of it is granted or revoked.", []string{"namespace", "name"}, nil)
	deletedDesc = prometheus.NewDesc("serviceconnections_claim_deletion_timestamp_seconds",
		"When the deletion was asked for of a ServiceConnection that is still there.", []string{"namespace", "name"}, nil)
	restartsDesc = prometheus.NewDesc("serviceconnections_claim_restarts",
		"Services of a ServiceConnection whose pods somebody has to restart; none where there are none.", []string{"namespace", "name"}, nil)
	supersededDesc = prometheus.NewDesc("serviceconnections_claim_superseded",
		"Notes on what is superseded and kept for pods of a ServiceConnection that are older than their injection; none where there are none.", []string{"namespace", "name"}, nil)
)

var descs = []*prometheus.Desc{
	watchedDesc, connectionsDesc, notesDesc, unsyncedDesc, stalledDesc, pausedDesc, deletedDesc, restartsDesc, supersededDesc,
}

// A store has the standings of the objects of a kind as they are now.
type store struct {
	kind     string
	resource schema.GroupVersionResource
	client   dynamic.Interface
	watch    cache.Controller
	now      func() time.Time

	mu  sync.RWMutex
	all map[types.NamespacedName]*standing

	// failing is since when the API server hasn't answered, zero if it does.
	failing time.Time

	// absent says that the API server doesn't know the kind: one of the two isn't there,
	// and neither is before the configuration is installed.
	absent bool
}

// Put a standing in place of the one that the object had.
func (s *store) Put(kept *standing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[types.NamespacedName{Namespace: kept.Namespace, Name: kept.Name}] = kept
}

// Remove the standing of an object that is gone.
func (s *store) Remove(name types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, name)
}

// asked the API server, which answered, or not.
func (s *store) asked(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.absent = kerrors.IsNotFound(err)
	switch {
	case s.absent:
		clear(s.all)
		s.failing = time.Time{}
	case err == nil:
		s.failing = time.Time{}
	case s.failing.IsZero():
		s.failing = s.now()
	}
}

// fresh is an error while what is kept may not be what is there.
func (s *store) fresh() error {
	s.mu.RLock()
	absent, failing := s.absent, s.failing
	s.mu.RUnlock()
	if absent {
		return nil
	}
	// Not with the lock: a watch answers once it has told of the object that it is at, and
	// that takes the lock.
	if !s.watch.HasSynced() {
		return fmt.Errorf("cannot tell of objects of kind %s: they aren't read yet", s.kind)
	}
	if since := s.now().Sub(failing); !failing.IsZero() && since > maxStale {
		return fmt.Errorf("cannot tell of objects of kind %s: the API server hasn't answered for %s", s.kind, since.Round(time.Second))
	}
	return nil
}

// each standing that is kept.
func (s *store) each(f func(*standing)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, kept := range s.all {
		f(kept)
	}
}

// A collector counts anew each time that it is asked. So no series outlives what it tells
// of; and where that isn't known, the request fails, and Prometheus knows as much.
type collector struct{ stores []*store }

// Describe the metrics.
func (*collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descs {
		ch <- d
	}
}

// Collect the metrics.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	if err := c.ready(); err != nil {
		ch <- prometheus.NewInvalidMetric(watchedDesc, err)
		return
	}
	all := sums{}
	for _, s := range c.stores {
		all.add(watchedDesc, 0, s.kind)
		s.each(func(kept *standing) { all.addStanding(s.kind, kept) })
	}
	for k, v := range all {
		// Texts of the API server are UTF-8, which is all that a label's value must be.
		ch <- prometheus.MustNewConstMetric(k.desc, prometheus.GaugeValue, v, k.labels[:k.n]...)
	}
}

// A series is a metric with the values of its labels.
type series struct {
	desc   *prometheus.Desc
	labels [3]string
	n      int
}

// sums of series: a claim and what Crossplane made of it may both have something to tell.
type sums map[series]float64

func seriesOf(d *prometheus.Desc, labels []string) series {
	k := series{desc: d, n: len(labels)}
	copy(k.labels[:], labels)
	return k
}

func (s sums) add(d *prometheus.Desc, v float64, labels ...string) { s[seriesOf(d, labels)] += v }

// set a series that says that something is so, however many say it.
func (s sums) set(d *prometheus.Desc, v float64, labels ...string) {
	k := seriesOf(d, labels)
	s[k] = max(s[k], v)
}

func (s sums) addStanding(kind string, kept *standing) {
	ns, name := kept.claim.Namespace, kept.claim.Name
	s.add(watchedDesc, 1, kind)
	for _, c := range kept.connections {
		s.add(connectionsDesc, 1, ns, c.typ, c.reason)
	}
	for _, reason := range kept.notes {
		s.add(notesDesc, 1, ns, reason)
	}
	if kept.unsynced != "" {
		s.set(unsyncedDesc, 1, ns, name, kept.unsynced)
	}
	if kept.stalled != "" {
		s.set(stalledDesc, 1, ns, name, kept.stalled)
	}
	if kept.paused {
		s.set(pausedDesc, 1, ns, name)
	}
	if kept.deleted != 0 {
		s.set(deletedDesc, float64(kept.deleted), ns, name)
	}
	if kept.restarts > 0 {
		s.add(restartsDesc, float64(kept.restarts), ns, name)
	}
	if kept.superseded > 0 {
		s.add(supersededDesc, float64(kept.superseded), ns, name)
	}
}
