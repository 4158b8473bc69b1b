package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
)

// server of a cloud on loopback.
type server struct {
	once    sync.Once
	http    *http.Server
	address string
	err     error
}

// Serve the cloud on loopback, and return its address. It is served until the
// process ends, or Close.
func (c *Cloud) Serve() (address string, err error) {
	s := &c.server
	s.once.Do(func() {
		var l net.Listener
		if l, s.err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0"); s.err != nil {
			s.err = fmt.Errorf("cannot serve the cloud: %w", s.err)
			return
		}
		s.address = "http://" + l.Addr().String()
		s.http = &http.Server{Handler: c, ReadHeaderTimeout: time.Minute}
		go s.http.Serve(l) //nolint:errcheck // It ends with Close.
	})
	return s.address, s.err
}

// Close the server, if there is one.
func (c *Cloud) Close() {
	if c.server.http != nil {
		_ = c.server.http.Close() // Whoever is still calling is to be cut off.
	}
}

// A call of a cloud, while it is answered.
type call struct {
	*Cloud

	action string
	body   []byte

	// kind of managed resource that it is about, and the namespace of the claim
	// that asked for it, where the call tells.
	kind, namespace string

	// scope is the resource that is said to be forbidden.
	scope string

	// creates says that the answer may be held.
	creates bool

	// writing is the identity of Azure whose credentials are written.
	writing *identity
}

// An answer to a call, made while the cloud is locked.
type answer func(*call) (any, *cloudapi.Error)

// answers by action.
func answers() map[string]answer {
	all := map[string]answer{}
	for _, some := range []map[string]answer{iamAnswers(), policyAnswers(), eksAnswers(), azureAnswers(), googleAnswers()} {
		maps.Copy(all, some)
	}
	return all
}

var allAnswers = sync.OnceValue(answers)

// ServeHTTP answers one call.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &call{Cloud: c, action: cloudapi.Action(r.URL.Path)}
	out, failed := x.answer(r)
	if failed != nil {
		e := *failed
		c.do(func() { e.RequestID = "7f3c1c64-0000-4000-8000-" + pad(c.id()) })
		w.WriteHeader(e.Status)
		out = &e
	}
	_ = json.NewEncoder(w).Encode(out) //nolint:errchkjson // Whoever has called may be gone.
}

func (x *call) answer(r *http.Request) (any, *cloudapi.Error) {
	a, ok := allAnswers()[x.action]
	if !ok {
		return nil, &cloudapi.Error{Status: http.StatusNotImplemented, Code: "UnknownOperation", Message: x.action}
	}
	if err := json.NewDecoder(r.Body).Decode((*raw)(&x.body)); err != nil {
		return nil, &cloudapi.Error{Status: http.StatusBadRequest, Code: "MalformedInput", Message: err.Error()}
	}
	x.describe()
	x.do(func() {
		x.calls[x.action]++
		if arn := x.arn(); arn != "" {
			x.asked[x.action+" "+arn] = true
		}
	})
	if x.kind == "UserAssignedIdentity" {
		x.wait(r.Context())
	}
	var failed *cloudapi.Error
	x.do(func() {
		if failed = x.refused(); failed == nil {
			failed = x.beginAzure()
		}
	})
	if failed != nil {
		return nil, failed
	}
	defer x.finishAzure()
	if x.creates || x.writing != nil {
		<-time.After(latency)
	}
	var out any
	x.do(func() { out, failed = a(x) })
	if failed == nil && x.creates {
		x.wait(r.Context())
	}
	return out, failed
}

// raw JSON.
type raw []byte

// UnmarshalJSON keeps it.
func (r *raw) UnmarshalJSON(b []byte) error { *r = append((*r)[:0], b...); return nil }

// wait while the answer is held, or until whoever called is gone.
func (x *call) wait(ctx context.Context) {
	for _, key := range []string{x.kind, x.namespace + "/" + x.kind} {
		var held chan struct{}
		x.do(func() { held = x.held[key] })
		if held == nil {
			continue
		}
		select {
		case <-held:
		case <-ctx.Done():
		}
	}
}

// refused says how a call is, that is denied or meets a cloud that fails.
func (x *call) refused() *cloudapi.Error {
	switch {
	case x.failure != nil:
		return x.failure
	case x.denied[x.kind] || x.denied[x.action]:
		return x.forbidden()
	default:
		return nil
	}
}

// Unavailable is a cloud that is down for maintenance.
func Unavailable() *cloudapi.Error {
	return &cloudapi.Error{Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable", Message: "The request has failed due to a temporary failure of the server."}
}

// forbidden in the words of each cloud, as long as they are.
func (x *call) forbidden() *cloudapi.Error {
	e := &cloudapi.Error{Status: http.StatusForbidden}
	switch service, _, _ := strings.Cut(x.action, ":"); {
	case service == "iam" || service == "eks":
		e.Code = map[string]string{"iam": "AccessDenied", "eks": "AccessDeniedException"}[service]
		e.Message = fmt.Sprintf("User: arn:aws:sts::%s:assumed-role/crossplane-provider-aws/eks-one-provider-a-7b1f0c7e-3d0d-4c8c-9a51-6f6a4d0e5b11 is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action", AccountID, x.action, x.scope, x.action)
	case strings.HasPrefix(x.action, "Microsoft."):
		e.Code = "AuthorizationFailed"
		e.Message = fmt.Sprintf("The client 'c1a5f0d2-0000-4000-8000-000000000001' with object id 'c1a5f0d2-0000-4000-8000-000000000001' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.", x.action, x.scope)
	default:
		e.Code = "forbidden"
		e.Message = fmt.Sprintf(`Permission '%[1]s' denied on resource (or it may not exist).
[
  {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "domain": "iam.googleapis.com",
    "metadata": {
      "permission": "%[1]s"
    },
    "reason": "IAM_PERMISSION_DENIED"
  }
]`, x.action)
	}
	return e
}

// in reads what was asked for.
func in[T any](x *call) T {
	var v T
	if err := json.Unmarshal(x.body, &v); err != nil {
		panic(errors.Join(fmt.Errorf("cannot read %s", x.action), err)) // Both ends are ours.
	}
	return v
}

// describe what the call is about.
func (x *call) describe() {
	switch {
	case strings.HasPrefix(x.action, "eks:"):
		x.describeEKS()
	case strings.HasPrefix(x.action, "iam:"):
		x.describeIAM()
	case strings.HasPrefix(x.action, "Microsoft."):
		x.describeAzure()
	case strings.HasPrefix(x.action, "iam.serviceAccounts."):
		x.describeGoogle()
	}
}
