package door

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
)

// entraHost is where AKS's webhook sends clients, as AZURE_AUTHORITY_HOST.
const entraHost = "login.microsoftonline.com"

// entraToken is how long an access token of a managed identity lasts (Microsoft Entra
// documentation, "Managed identities for Azure resources frequently asked questions").
const entraToken = 24 * time.Hour

// serveEntra as Microsoft Entra's endpoints do, of which each client first reads where
// the others are.
func (d *Doors) serveEntra(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	tenant, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	base := "https://" + entraHost + "/" + tenant
	var answer any
	switch {
	case tenant == "common" && rest == "discovery/instance":
		answer = map[string]any{
			"tenant_discovery_endpoint": strings.Replace(r.URL.Query().Get("authorization_endpoint"), "/oauth2/v2.0/authorize", "/v2.0/.well-known/openid-configuration", 1),
			"metadata":                  []any{map[string]any{"preferred_network": entraHost, "preferred_cache": entraHost, "aliases": []string{entraHost}}},
		}
	case rest == "v2.0/.well-known/openid-configuration":
		answer = map[string]any{
			"issuer": base + "/v2.0", "token_endpoint": base + "/oauth2/v2.0/token", "authorization_endpoint": base + "/oauth2/v2.0/authorize",
		}
	case rest == "oauth2/v2.0/token":
		var status int
		if status, answer = d.entraToken(r, tenant); status != http.StatusOK {
			w.WriteHeader(status)
		}
	default:
		http.NotFound(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(answer) //nolint:errchkjson // Whoever has called may be gone.
}

// entraToken exchanges a token for an access token (Microsoft identity platform,
// "OAuth 2.0 client credentials flow", third case: access token request with a
// federated credential).
func (d *Doors) entraToken(r *http.Request, tenant string) (status int, answer any) {
	if err := r.ParseForm(); err != nil {
		return http.StatusBadRequest, entraError("invalid_request", 900144, err.Error())
	}
	form := r.PostForm
	clientID, raw := form.Get("client_id"), form.Get("client_assertion")
	identity, credentials, ok := d.cloud.IdentityOf(clientID)
	if !ok || identity.TenantID != tenant {
		return http.StatusBadRequest, entraError("unauthorized_client", 700016, fmt.Sprintf("Application with identifier '%s' was not found in the directory '%s'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.", clientID, tenant))
	}
	t, err := parse(raw)
	if err == nil {
		err = d.signed(r.Context(), raw, t)
	}
	if err != nil {
		return http.StatusUnauthorized, entraError("invalid_client", 50027, "JWT token is invalid or malformed: "+err.Error())
	}
	if !t.valid(d.now()) {
		return http.StatusUnauthorized, entraError("invalid_client", 700024, fmt.Sprintf("Client assertion is not within its valid time range. Current time: %s, expiry time of assertion %s.", d.now().UTC().Format(time.RFC3339Nano), t.expiry().Format(time.RFC3339Nano)))
	}
	if refusal := entraMatch(t, clientID, credentials); refusal != nil {
		d.refused("azure", t)
		return http.StatusUnauthorized, refusal
	}
	access := accessToken(clientID, tenant, d.now().Add(entraToken))
	d.mu.Lock()
	d.entra[access] = clientID
	d.mu.Unlock()
	return http.StatusOK, map[string]any{
		"token_type": "Bearer", "expires_in": int(entraToken.Seconds()), "ext_expires_in": int(entraToken.Seconds()), "access_token": access,
	}
}

// entraMatch of a token that is valid with the credentials of an identity: a refusal, or
// nil.
func entraMatch(t token, clientID string, credentials []cloudapi.Credential) (refusal any) {
	// A credential must match in all of issuer, subject and audience, letter by letter
	// (Microsoft Entra documentation, "Important considerations and restrictions for
	// federated identity credentials"; its error codes reference).
	if len(credentials) == 0 {
		return entraError("invalid_client", 70025, fmt.Sprintf("The client '%s' has no configured federated identity credentials.", clientID))
	}
	known := "Please check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
	var issuer, subject bool
	for _, c := range credentials {
		issuer = issuer || c.Issuer == t.Issuer
		subject = subject || c.Issuer == t.Issuer && c.Subject == t.Subject
		if c.Issuer == t.Issuer && c.Subject == t.Subject && slices.ContainsFunc(c.Audiences, t.isFor) {
			return nil
		}
	}
	switch {
	case !issuer:
		return entraError("invalid_client", 700211, fmt.Sprintf("No matching federated identity record found for presented assertion issuer '%s'. %s", t.Issuer, known))
	case !subject:
		return entraError("invalid_client", 700213, fmt.Sprintf("No matching federated identity record found for presented assertion subject '%s'. %s", t.Subject, known))
	default:
		return entraError("invalid_client", 700212, fmt.Sprintf("No matching federated identity record found for presented assertion audience '%s'. %s", strings.Join(t.Audience, ","), known))
	}
}

// entraError as Microsoft Entra's token endpoint has it.
func entraError(kind string, code int, message string) any {
	trace := random(16)
	return map[string]any{
		"error": kind, "error_codes": []int{code}, "trace_id": trace, "correlation_id": trace,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s", code, message, trace),
	}
}

// accessToken for a client. It isn't signed: what accepts one here knows those that were
// issued.
func accessToken(clientID, tenant string, expires time.Time) string {
	claims, _ := json.Marshal(map[string]any{"appid": clientID, "tid": tenant, "exp": expires.Unix()}) //nolint:errchkjson // It is a map of strings and numbers.
	return strings.Join([]string{
		base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)), base64.RawURLEncoding.EncodeToString(claims), random(16),
	}, ".")
}
