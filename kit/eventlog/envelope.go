package eventlog

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/errs"
)

// The headers of an Envelope. Those with "ce-" are attributes and extensions of
// CloudEvents 1.0 in binary mode; extensions have no dashes in their names.
const (
	HeaderID            = "ce-id"
	HeaderType          = "ce-type"
	HeaderSource        = "ce-source"
	HeaderTime          = "ce-time"
	HeaderSpecVersion   = "ce-specversion"
	HeaderCausation     = "ce-causationid"
	HeaderCorrelation   = "ce-correlationid"
	HeaderActor         = "ce-actor"
	HeaderRoles         = "ce-actorroles"
	HeaderRequestHash   = "ce-requesthash"
	HeaderTrace         = "traceparent"
	HeaderAfter         = "lonja-after"   // of commands and queries: see Envelope.After
	HeaderTokenPosition = "lonja-signed"  // of commands and queries: see Actor.TokenPosition
	HeaderSession       = "lonja-session" // of commands and queries: see Actor.Session
	HeaderClientNetwork = "lonja-from"    // of commands: see Actor.ClientNetwork
)

// Metadata of a Watermill message that stays within the process. A subscriber adds it to
// the sender's headers, and a publisher returns in it where a message is stored. Keys
// that begin with MetaPrefix are never sent as headers.
const (
	MetaPrefix    = "lonja-wire-"
	MetaStream    = MetaPrefix + "stream"    // the stream of a JetStream message
	MetaSequence  = MetaPrefix + "sequence"  // its sequence in the stream, in decimal
	MetaDuplicate = MetaPrefix + "duplicate" // "true" if the message was already published before
)

// Envelope holds the attributes of a message: its id, its sender, its time and its cause.
// Events, commands and queries have the same ones. An empty field is not sent.
type Envelope struct {
	ID     string    // an event's is derived from its command's; a command's is chosen by its sender
	Type   string    // the event type, "lonja.order.placed.v1"; empty for commands
	Source string    // the service that recorded the event, "lonja/orders"
	Time   time.Time // by the clock of the source; events are ordered by sequence, not by time
	// Causation is the id of the command that an event results from.
	Causation string
	// Correlation is the id of the first command of the whole business process. An event
	// without one has that of its Causation: it begins the process.
	Correlation string
	// Actor is the user or service on whose behalf the message was sent.
	Actor Actor
	// RequestHash is HashBody of the command. Two commands with the same id and different
	// hashes are different commands, so the second one is rejected.
	RequestHash string
	Trace       string // W3C traceparent; an event without one has TraceOf of its Correlation
	After       string // consistency token, such as "ORDERS:42": the receiver waits until its views include it
}

// Actor is the user or service on whose behalf something is done. The zero Actor is
// anonymous.
type Actor struct {
	ID    string   // a user's id, or "service:orders"
	Roles []string // as in the access token; nil for services
	// TokenPosition is the sequence on the identity service's stream that the actor's access
	// token was signed at, or 0 if it is not known. Revocations are compared with it. Events
	// do not store it.
	TokenPosition uint64
	// Session is the id of the session that the actor's access token was signed for, or empty if it
	// is not known. It can be revoked, too. Events do not store it.
	Session string
	// ClientNetwork is a pseudonym of the network that the actor's client is in, or empty if
	// it is not known. Rate limits, such as that of logins, count by it. It is sent only to services
	// that need it, and events do not store it.
	ClientNetwork string
}

// HasRole reports whether the actor has at least one of the roles.
func (a Actor) HasRole(roles ...string) bool {
	return slices.ContainsFunc(a.Roles, func(r string) bool { return slices.Contains(roles, r) })
}

// Require returns nil if the actor has at least one of the roles, and otherwise an
// errs.Forbidden error that names the first of them. It needs at least one role.
func (a Actor) Require(roles ...string) error {
	if !a.HasRole(roles...) {
		return errs.New(errs.Forbidden, "only %s may do this", roles[0])
	}
	return nil
}

// Header returns the envelope as NATS headers.
func (e Envelope) Header() nats.Header {
	h := make(nats.Header, 12)
	e.each(func(key, value string) { h[key] = []string{value} })
	return h
}

// Metadata returns the envelope as the metadata of a Watermill message, with the same keys
// and values as Header. The map is new, so the caller may add to it.
func (e Envelope) Metadata() map[string]string {
	m := make(map[string]string, 20) // with room for a publisher's conditions and results
	e.each(func(key, value string) { m[key] = value })
	return m
}

// each calls set for every attribute that is not empty.
func (e Envelope) each(set func(key, value string)) {
	setNonEmpty := func(key, value string) {
		if value != "" {
			set(key, value)
		}
	}
	setNonEmpty(HeaderID, e.ID)
	setNonEmpty(HeaderType, e.Type)
	setNonEmpty(HeaderSource, e.Source)
	setNonEmpty(HeaderSpecVersion, "1.0")
	if !e.Time.IsZero() {
		setNonEmpty(HeaderTime, e.Time.UTC().Format(time.RFC3339Nano))
	}
	setNonEmpty(HeaderCausation, e.Causation)
	setNonEmpty(HeaderCorrelation, e.Correlation)
	setNonEmpty(HeaderActor, e.Actor.ID)
	setNonEmpty(HeaderRoles, strings.Join(e.Actor.Roles, ","))
	setNonEmpty(HeaderRequestHash, e.RequestHash)
	setNonEmpty(HeaderTrace, e.Trace)
	setNonEmpty(HeaderAfter, e.After)
	setNonEmpty(HeaderClientNetwork, e.Actor.ClientNetwork)
	setNonEmpty(HeaderSession, e.Actor.Session)
	if e.Actor.TokenPosition > 0 {
		setNonEmpty(HeaderTokenPosition, strconv.FormatUint(e.Actor.TokenPosition, 10))
	}
}

// compact returns an event's envelope without what complete adds. Events are kept for ever,
// so they do not store what follows from the rest.
func (e Envelope) compact() Envelope {
	e = e.complete()
	if e.Trace == TraceOf(e.Correlation) {
		e.Trace = ""
	}
	if e.Correlation == e.Causation {
		e.Correlation = ""
	}
	return e
}

// complete returns an event's envelope with its Correlation and its Trace. Events of earlier
// versions have stored both.
func (e Envelope) complete() Envelope {
	e.Correlation = cmp.Or(e.Correlation, e.Causation)
	e.Trace = cmp.Or(e.Trace, TraceOf(e.Correlation))
	return e
}

// ParseEnvelope reads an envelope from headers or metadata. Get returns the value of one
// header, or "" if there is none; the field is then empty. The error names the header
// whose number or time does not parse, or whose year is not 1 to 9999.
func ParseEnvelope(get func(string) string) (Envelope, error) {
	e := Envelope{
		ID: get(HeaderID), Type: get(HeaderType), Source: get(HeaderSource),
		Causation: get(HeaderCausation), Correlation: get(HeaderCorrelation),
		Actor: Actor{ID: get(HeaderActor), ClientNetwork: get(HeaderClientNetwork), Session: get(HeaderSession)}, RequestHash: get(HeaderRequestHash),
		Trace: get(HeaderTrace), After: get(HeaderAfter),
	}
	if roles := get(HeaderRoles); roles != "" {
		e.Actor.Roles = strings.Split(roles, ",")
	}
	if position := get(HeaderTokenPosition); position != "" {
		var err error
		if e.Actor.TokenPosition, err = strconv.ParseUint(position, 10, 64); err != nil {
			return e, fmt.Errorf("header %s: %w", HeaderTokenPosition, err)
		}
	}
	if t := get(HeaderTime); t != "" {
		parsed, err := time.Parse(time.RFC3339Nano, t)
		if err != nil {
			return e, fmt.Errorf("header %s: %w", HeaderTime, err)
		}
		// In UTC a time that parses can fall into a year that RFC 3339 cannot write.
		if e.Time = parsed.UTC(); e.Time.Year() < 1 || e.Time.Year() > 9999 {
			return e, fmt.Errorf("header %s: %q is in the year %d; it must be 1 to 9999", HeaderTime, t, e.Time.Year())
		}
	}
	return e, nil
}
