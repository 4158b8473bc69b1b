package connection

import (
	"fmt"

	"github.com/serviceconnections/function-service-connections/fn/trust"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// A Reason is one word for the state of a connection. docs/reasons.md lists
// them with their cause and remedy.
type Reason string

// A Severity says what a reason means for readiness.
type Severity int

const (
	// Note is shown; the connection is ready or is about something else.
	Note Severity = iota
	// Warns is shown; the connection is ready.
	Warns
	// Blocks keeps the connection from being ready.
	Blocks
)

// The reasons. Those of a package that knows no connections are its own, with the
// severity that they have here.
const (
	InvalidField                Reason = "InvalidField"
	NotClaimed                  Reason = "NotClaimed"
	CloudNotConfigured          Reason = "CloudNotConfigured"
	SubscriptionNotConfigured   Reason = "SubscriptionNotConfigured"
	NotAllowed                  Reason = "NotAllowed"
	ServiceAccountNotRegistered Reason = "ServiceAccountNotRegistered"
	DiskNotRegistered           Reason = "DiskNotRegistered"
	TwoGoogleAccounts           Reason = "TwoGoogleAccounts"
	ServiceAccountConflict      Reason = "ServiceAccountConflict"
	WorkloadConflict            Reason = "WorkloadConflict"
	NamespaceLeftOut            Reason = "NamespaceLeftOut"
	ContainerNotFound           Reason = workload.ReasonContainerNotFound

	CrossplaneTooOld           Reason = "CrossplaneTooOld"
	OutOfSight                 Reason = "OutOfSight"
	ProviderNotInstalled       Reason = "ProviderNotInstalled"
	ProviderNotActive          Reason = "ProviderNotActive"
	ServiceAccountNotFound     Reason = "ServiceAccountNotFound"
	ServiceAccountTaken        Reason = "ServiceAccountTaken"
	ServiceAccountNotAnnotated Reason = "ServiceAccountNotAnnotated"
	ServiceAccountInUse        Reason = workload.ReasonServiceAccountInUse
	VolumeClaimNotFound        Reason = "VolumeClaimNotFound"
	VolumeClaimLost            Reason = "VolumeClaimLost"
	StorageClassNotFound       Reason = "StorageClassNotFound"
	PortConflict               Reason = workload.ReasonPortConflict
	NameConflict               Reason = workload.ReasonNameConflict

	RoleNotFound       Reason = "RoleNotFound"
	IdentityNotFound   Reason = "IdentityNotFound"
	IdentityMismatch   Reason = "IdentityMismatch"
	AssociationExists  Reason = "AssociationExists"
	CredentialExists   Reason = "CredentialExists"
	TooManyCredentials Reason = "TooManyCredentials"
	ProviderError      Reason = "ProviderError"
	Creating           Reason = "Creating"

	TrustDenied                   Reason = trust.ReasonDenied
	TrustMissingPrincipal         Reason = trust.ReasonMissingPrincipal
	TrustMissingTagSession        Reason = trust.ReasonMissingTagSession
	TrustWrongIssuer              Reason = trust.ReasonWrongIssuer
	TrustSubjectMismatch          Reason = trust.ReasonSubjectMismatch
	TrustAudienceMismatch         Reason = trust.ReasonAudienceMismatch
	TrustWildcardWithStringEquals Reason = trust.ReasonWildcardWithStringEquals

	TrustUnscoped      Reason = trust.ReasonUnscoped
	TrustUnverifiable  Reason = trust.ReasonUnverifiable
	RevocationExternal Reason = "RevocationExternal"
	ReplicasUnsafe     Reason = "ReplicasUnsafe"
	RolloutBlocks      Reason = "RolloutBlocks"
	ZoneSpread         Reason = "ZoneSpread"
	DiskPolicyPinned   Reason = "DiskPolicyPinned"
	AllowListAbsent    Reason = "AllowListAbsent"
	BindingRetained    Reason = "BindingRetained"
	OfAnotherClaim     Reason = "OfAnotherClaim"
	Paused             Reason = "Paused"

	WorkloadNotFound    Reason = "WorkloadNotFound"
	WorkloadWithheld    Reason = "WorkloadWithheld"
	TemplateFrozen      Reason = "TemplateFrozen"
	ReadWithoutWorkload Reason = "ReadWithoutWorkload"
	Superseded          Reason = "Superseded"
	Connected           Reason = "Connected"
)

// severities of the reasons that don't block.
var severities = map[Reason]Severity{
	TrustUnscoped:      Warns,
	TrustUnverifiable:  Warns,
	RevocationExternal: Warns,
	ReplicasUnsafe:     Warns,
	RolloutBlocks:      Warns,
	ZoneSpread:         Warns,
	DiskPolicyPinned:   Warns,
	AllowListAbsent:    Warns,
	BindingRetained:    Warns,
	OfAnotherClaim:     Warns,
	Paused:             Warns,
	WorkloadNotFound:   Note,
	WorkloadWithheld:   Note,
	TemplateFrozen:     Note,

	ReadWithoutWorkload: Note,

	Superseded: Note,
	Connected:  Note,
}

// Severity of a reason. One that nothing is known of blocks.
func (r Reason) Severity() Severity {
	if s, ok := severities[r]; ok {
		return s
	}
	return Blocks
}

// Passes says of a reason that blocks whether it does so for a while only, and nobody
// has to do anything for it.
func (r Reason) Passes() bool { return r == Creating }

// A Verdict is a reason with one sentence: the object, the value seen, the next
// step. The zero Verdict finds nothing to say.
type Verdict struct {
	Reason  Reason
	Message string
}

// Blocks says whether the verdict keeps its connection from being ready.
func (v Verdict) Blocks() bool { return v.Reason != "" && v.Reason.Severity() == Blocks }

// Verdictf is a verdict with a formatted message.
func Verdictf(r Reason, format string, args ...any) Verdict {
	return Verdict{Reason: r, Message: fmt.Sprintf(format, args...)}
}

// First verdict that has something to say.
func First(vs ...Verdict) Verdict {
	for _, v := range vs {
		if v.Reason != "" {
			return v
		}
	}
	return Verdict{}
}
