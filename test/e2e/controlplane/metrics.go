package controlplane

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/rest"
)

// Metrics of a process as it serves them, by their name.
type Metrics map[string]*dto.MetricFamily

// CrossplaneMetrics of the core that runs.
func (c *ControlPlane) CrossplaneMetrics(ctx context.Context) (Metrics, error) {
	return readMetrics(ctx, http.DefaultClient, fmt.Sprintf("http://127.0.0.1:%d/metrics", c.ports.crossplaneMetrics))
}

// FunctionMetrics of a function that runs with --metrics-address.
func (*ControlPlane) FunctionMetrics(ctx context.Context, address string) (Metrics, error) {
	return readMetrics(ctx, http.DefaultClient, "http://"+address+"/metrics")
}

// APIServerMetrics since the API server started.
func (c *ControlPlane) APIServerMetrics(ctx context.Context) (Metrics, error) {
	h, err := rest.HTTPClientFor(c.Config)
	if err != nil {
		return nil, fmt.Errorf("cannot make client: %w", err)
	}
	return readMetrics(ctx, h, c.Config.Host+"/metrics")
}

func readMetrics(ctx context.Context, h *http.Client, url string) (Metrics, error) {
	text, err := read(ctx, h, url)
	if err != nil {
		return nil, err
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	m, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("cannot parse %s: %w", url, err)
	}
	return m, nil
}

// Sum of a counter or gauge over the series that the supplied function wants, by
// their labels.
func (m Metrics) Sum(name string, wanted func(labels map[string]string) bool) (sum float64) {
	for _, s := range m[name].GetMetric() {
		labels := map[string]string{}
		for _, l := range s.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if wanted(labels) {
			// One of them is set, the other two are zero.
			sum += s.GetCounter().GetValue() + s.GetGauge().GetValue() + s.GetUntyped().GetValue()
		}
	}
	return sum
}

// Value of a counter or gauge that has no labels, such as
// process_cpu_seconds_total.
func (m Metrics) Value(name string) float64 {
	return m.Sum(name, func(map[string]string) bool { return true })
}
