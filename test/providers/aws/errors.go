package aws

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
)

// modeled are the codes of errors that the SDK has a type for. Others it calls
// "api error" (smithy-go, GenericAPIError).
var modeled = map[string]bool{ //nolint:gochecknoglobals // A constant, but for Go.
	"NoSuchEntity": true, "EntityAlreadyExists": true, "DeleteConflict": true, "LimitExceeded": true, "MalformedPolicyDocument": true, "ConcurrentModification": true, "ServiceFailure": true,
	"ResourceInUseException": true, "ResourceNotFoundException": true, "InvalidParameterException": true, "InvalidRequestException": true, "ServerException": true,
}

// said is an error of a cloud as the SDK for Go writes it (aws-sdk-go-v2, smithy
// OperationError around ResponseError).
func said(action string, err error) string {
	var e *cloudapi.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	service, operation, _ := strings.Cut(action, ":")
	code := e.Code
	if !modeled[code] {
		code = "api error " + code
	}
	return fmt.Sprintf("operation error %s: %s, https response error StatusCode: %d, RequestID: %s, %s: %s",
		strings.ToUpper(service), operation, e.Status, e.RequestID, code, e.Message)
}

// failed is what terraform-provider-aws reports of a call that failed, in its
// words.
func failed(action string, err error, format string, a ...any) diag.Diagnostics {
	return diag.Errorf("%s: %s", fmt.Sprintf(format, a...), said(action, err))
}

// containsMessage says whether the cloud's message has a text.
func containsMessage(err error, part string) bool {
	var e *cloudapi.Error
	return errors.As(err, &e) && strings.Contains(e.Message, part)
}
