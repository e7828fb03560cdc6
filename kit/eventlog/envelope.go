// Package envelope says who sent a message, when and because of what: CloudEvents
// 1.0 attributes in NATS headers (binary mode), the same for events and commands.
package eventlog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"lonja/kit/errs"
)

// The headers. Extensions of CloudEvents follow its spelling: lower case, no dashes.
const (
	HeaderID          = "ce-id"
	HeaderType        = "ce-type"
	HeaderSource      = "ce-source"
	HeaderTime        = "ce-time"
	HeaderSpecVersion = "ce-specversion"
	HeaderCausation   = "ce-causationid"
	HeaderCorrelation = "ce-correlationid"
	HeaderActor       = "ce-actor"
	HeaderRoles       = "ce-actorroles"
	HeaderRequestHash = "ce-requesthash"
	HeaderTrace       = "traceparent"
	HeaderAfter       = "lonja-after"  // commands and queries: the consistency token to wait for
	HeaderSigned      = "lonja-signed" // commands and queries: see Actor.Signed
	HeaderFrom        = "lonja-from"   // commands: see Actor.From
)

// Metadata of a Watermill message that stays with the process: what a subscriber
// adds to what the sender wrote, and what a publisher says of what it published. A
// key with MetaPrefix never goes out as a header.
const (
	MetaPrefix    = "lonja-wire-"
	MetaStream    = MetaPrefix + "stream"    // of a message of JetStream: its stream,
	MetaSequence  = MetaPrefix + "sequence"  // and its sequence
	MetaDuplicate = MetaPrefix + "duplicate" // "true" when it had been published before
)

// Envelope is what stands on the outside of a message.
type Envelope struct {
	ID     string    // of an event: derived from its command's; of a command: chosen by its sender
	Type   string    // "lonja.order.placed.v1"; empty on commands
	Source string    // "lonja/orders": the service that recorded it
	Time   time.Time // by the clock of the source; order comes from sequences, not from this
	// Causation is the id of the command that made an event.
	Causation string
	// Correlation is the id of the first command of the whole story.
	Correlation string
	Actor       Actor
	// RequestHash tells two commands with the same id and other bodies apart.
	RequestHash string
	Trace       string // W3C traceparent, or empty
	After       string // consistency token, or empty
}

// Actor is on whose behalf something is done. The zero Actor is anonymous.
type Actor struct {
	ID    string   // a user's id, or "service:orders"
	Roles []string // as the access token says; empty for services
	// Signed is the sequence on identity's stream at which the actor's access
	// token was signed, 0 when that is not known. It is not recorded.
	Signed uint64
	// From tells apart from where on the network the actor sends, or is empty. It
	// is a pseudonym, sent to whom it concerns only, and not recorded.
	From string
}

// HasRole reports whether the actor has one of the roles.
func (a Actor) HasRole(roles ...string) bool {
	return slices.ContainsFunc(a.Roles, func(r string) bool { return slices.Contains(roles, r) })
}

// Require returns a Forbidden refusal that names the first of the roles, unless the
// actor has one of them.
func (a Actor) Require(roles ...string) error {
	if !a.HasRole(roles...) {
		return errs.New(errs.Forbidden, "only %s may do this", roles[0])
	}
	return nil
}

// Header is the envelope as NATS headers, without the empty attributes.
func (e Envelope) Header() nats.Header {
	h := make(nats.Header, 12)
	e.each(func(key, value string) { h[key] = []string{value} })
	return h
}

// Metadata is the envelope as the metadata of a Watermill message: the same keys
// and values as Header. The caller may add to it.
func (e Envelope) Metadata() map[string]string {
	m := make(map[string]string, 20) // with room for what a publisher is told and tells
	e.each(func(key, value string) { m[key] = value })
	return m
}

// each calls set for every attribute that is not empty.
func (e Envelope) each(set func(key, value string)) {
	some := func(key, value string) {
		if value != "" {
			set(key, value)
		}
	}
	some(HeaderID, e.ID)
	some(HeaderType, e.Type)
	some(HeaderSource, e.Source)
	some(HeaderSpecVersion, "1.0")
	if !e.Time.IsZero() {
		some(HeaderTime, e.Time.UTC().Format(time.RFC3339Nano))
	}
	some(HeaderCausation, e.Causation)
	some(HeaderCorrelation, e.Correlation)
	some(HeaderActor, e.Actor.ID)
	some(HeaderRoles, strings.Join(e.Actor.Roles, ","))
	some(HeaderRequestHash, e.RequestHash)
	some(HeaderTrace, e.Trace)
	some(HeaderAfter, e.After)
	some(HeaderFrom, e.Actor.From)
	if e.Actor.Signed > 0 {
		some(HeaderSigned, strconv.FormatUint(e.Actor.Signed, 10))
	}
}

// ParseEnvelope reads an envelope. Get answers for one header, or "" when it is missing.
// A time or a number that does not parse, or is beyond all sense, is an error; missing attributes are empty.
func ParseEnvelope(get func(string) string) (Envelope, error) {
	e := Envelope{
		ID: get(HeaderID), Type: get(HeaderType), Source: get(HeaderSource),
		Causation: get(HeaderCausation), Correlation: get(HeaderCorrelation),
		Actor: Actor{ID: get(HeaderActor), From: get(HeaderFrom)}, RequestHash: get(HeaderRequestHash),
		Trace: get(HeaderTrace), After: get(HeaderAfter),
	}
	if roles := get(HeaderRoles); roles != "" {
		e.Actor.Roles = strings.Split(roles, ",")
	}
	if signed := get(HeaderSigned); signed != "" {
		var err error
		if e.Actor.Signed, err = strconv.ParseUint(signed, 10, 64); err != nil {
			return e, fmt.Errorf("header %s: %w", HeaderSigned, err)
		}
	}
	if t := get(HeaderTime); t != "" {
		parsed, err := time.Parse(time.RFC3339Nano, t)
		if err != nil {
			return e, fmt.Errorf("header %s: %w", HeaderTime, err)
		}
		// What parses cannot always be written again: not a year of five digits.
		if e.Time = parsed.UTC(); e.Time.Year() < 1 || e.Time.Year() > 9999 {
			return e, fmt.Errorf("header %s: the year must be 1 to 9999", HeaderTime)
		}
	}
	return e, nil
}

// idNamespace is the namespace of all derived ids; a constant for ever, since ids
// derived with another one would no longer match those in the log.
var idNamespace = uuid.MustParse("6e6f6c6a-6100-5000-8000-6c6f6e6a6121")

// DeriveID makes an id out of others, the same one every time. A command's id
// derived from the event that it reacts to makes a second delivery harmless.
func DeriveID(parts ...string) string {
	return uuid.NewSHA1(idNamespace, []byte(strings.Join(parts, "\x00"))).String()
}

// NewID is a fresh id, later ones sorting after earlier ones.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// NewEntityID is the id of the entity that a command makes: the prefix, and the
// command's UUID without dashes (or a UUID derived from an id that is none).
func NewEntityID(prefix, commandID string) string {
	return prefix + hex.EncodeToString(CompactID(commandID))
}

// HashBody is the RequestHash of a command's body.
func HashBody(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:16])
}

// CompactID is an id in 16 bytes: its own when it is a UUID, else derived from it.
func CompactID(id string) []byte {
	u, err := uuid.Parse(id)
	if err != nil {
		u = uuid.NewSHA1(idNamespace, []byte(id))
	}
	return u[:]
}

// Position writes a place in the log as headers and consistency tokens do.
func Position(stream string, seq uint64) string { return stream + ":" + strconv.FormatUint(seq, 10) }
