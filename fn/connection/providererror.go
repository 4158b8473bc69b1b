package connection

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/excerpt"
)

// lastAsyncOperation is the condition in which the providers that are made with
// upjet say how a create or update ended that they didn't wait for (upjet,
// pkg/resource/conditions.go, TypeLastAsyncOperation). An object that is ready
// all the same works as it was.
const lastAsyncOperation = "LastAsyncOperation"

// providerError of a managed resource, empty where there is none.
func providerError(object map[string]any) string {
	if paused(object) {
		return ""
	}
	failed := condition(object, "Synced")
	if failed.status != "False" && condition(object, "Ready").status != "True" {
		failed = condition(object, lastAsyncOperation)
	}
	if failed.status != "False" {
		return ""
	}
	return cmp.Or(strings.TrimSpace(failed.message), "the provider reports an error without a message")
}

// failedWith says whether a provider's error about a grant has a text in it,
// which may be beyond what is cut from it for the status.
func (c Context) failedWith(g Grant, text string) bool {
	return strings.Contains(strings.ToLower(providerError(c.Observed.Object(g.Key))), strings.ToLower(text))
}

// wrapped matches one layer of what stands before a provider's own words. The same
// failure comes in fewer layers while it is tried again, which would be a change of the
// status, and so an event.
var wrapped = regexp.MustCompile(`^(` +
	// crossplane-runtime, pkg/reconciler/managed/reconciler.go, errReconcile….
	`(connect|observe|create|update|delete) failed: ` +
	// upjet, pkg/terraform/errors/errors.go, and pkg/controller/external_tfplugin….go.
	`|async (create|update|delete) failed: ` +
	`|failed to (observe|create|update|delete) the resource: ` +
	`|resource (creation|update|deletion) call returned error diags: ` +
	// Diagnostics of Terraform, as Go prints them.
	`|\[\{0 )`)

// answered matches the last of what stands between a provider's words and its cloud's:
// of aws-sdk-go-v2 (smithy-go, OperationError and ResponseError), of go-azure-sdk
// (sdk/client, Client.Execute), and of google.golang.org/api (googleapi.Error).
var answered = regexp.MustCompile(`https response error StatusCode: \d+, (api error )?|unexpected status \d+ \([^)]*\) with error: |` + googleSays)

const googleSays = "googleapi: "

// passing matches what clouds and providers put into an error anew on every try, or each
// time that their credentials are renewed: ids of requests, times, names of sessions,
// ports, and what AWS encodes of a refusal.
var passing = regexp.MustCompile(`(?i)[,;]?\s*"?(` +
	`((x-ms-|x-amz-|x-amzn-)?(client[- ]?)?(request|correlation|trace|activity|transaction|operation|tracking)[-_ ]?(request[-_ ]?)?id(-2)?|host ?id)"?\s*[:=]\s*"?[0-9a-z][0-9a-z_/+=.-]*"?` +
	`|(time ?stamp|time|date)"?\s*[:=]\s*"?\d{4}-\d{2}-\d{2}[t ][0-9:.]+(z|[+-]\d{2}:?\d{2})?"?` +
	`|encoded authorization failure message: \S+` +
	`)`)

var (
	session = regexp.MustCompile(`(:assumed-role/[\w+=,.@-]+)/[\w+=,.@-]+`)
	port    = regexp.MustCompile(`(\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:]+\]):\d+->`)
)

// A provider's message is cut to a length that can be read in a status. The beginning
// has the code, who was refused, and the longest action that a refusal names; the end is
// what the cloud says of why.
const (
	providerMessage = 400
	providerEnd     = 110
)

// cause of a failure as a provider tells it, in one line: the cloud's answer, where there
// is one. What stands around it says what the object's kind and name do.
func cause(s string) string {
	s = strings.Join(strings.Fields(passing.ReplaceAllString(s, "")), " ")
	for {
		rest := strings.TrimPrefix(s, wrapped.FindString(s))
		if rest == s {
			break
		}
		s = rest
	}
	if before := answered.FindString(s); before != "" {
		_, said, _ := strings.Cut(s, before)
		switch {
		case said == "":
		case before == googleSays:
			s = before + said // Its code alone is a number.
		default:
			s = said
		}
	}
	// The end of Terraform's diagnostics.
	s = strings.TrimSpace(strings.TrimSuffix(s, "[]}]"))
	s = port.ReplaceAllString(session.ReplaceAllString(s, "$1"), "$1->")
	return excerpt.Ends(s, providerMessage, providerEnd)
}
