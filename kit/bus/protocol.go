package bus

import (
	"encoding/json"

	"lonja/kit/errs"
)

// Command is what a command's struct can do.
type Command interface {
	CommandName() string
	EntityID() string
	Check() error
}

// Headers of an answer. A refused one has those of NATS services
// instead, so that `nats request` shows it as what it is; its body is a
// errs.Error.
const (
	HeaderEntity   = "lonja-entity"   // the id of the entity that was decided about
	HeaderPosition = "lonja-position" // STREAM:sequence of the event, or of the entity; of a query's answer, how far its view stands
	HeaderReplayed = "lonja-replayed" // "true" when the event had been recorded before

	HeaderErrorCode = "Nats-Service-Error-Code" // a errs.Code
	HeaderError     = "Nats-Service-Error"
)

// An answer goes in one message, as a rule. One that is too large for that is
// refused, and the refusal says how large it is. Who can take it in parts asks
// once more, and says how many bytes they have room for. So nobody is sent more than
// they asked for, and `nats request` works as ever for all that fits.
const (
	HeaderSize = "lonja-size" // of a refusal: how many bytes the answer takes
	HeaderRoom = "lonja-room" // of a request: it takes an answer of so many bytes, in parts
	HeaderPart = "lonja-part" // of one part of an answer: "2/7"
)

// CommandSubject is the subject of a command; name is "orders.place".
func CommandSubject(name string) string { return "commands." + name }

// QuerySubject is the subject of a query; name is "orders.order".
func QuerySubject(name string) string { return "queries." + name }

// HealthSubject is the subject on which every replica of a service returns its
// [Health].
func HealthSubject(service string) string { return "health." + service }

// RebuildSubject is the subject on which every replica of a service rebuilds its
// views.
func RebuildSubject(service string) string { return "rebuild." + service }

// ChangesSubject is where a replica tells, on core NATS, that a view which its
// service announces has committed something about a key; the message is where
// the event stands, STREAM:sequence, which is a consistency token. So whoever waits
// for news of the key holds nothing in the service: they ask again when they hear
// of it, with that token. Every replica tells, so the same may be heard several
// times; and since core NATS keeps nothing, it may not be heard at all: whoever
// listens also asks now and then without being told.
func ChangesSubject(service, key string) string { return "changes." + service + "." + key }

// DeferredStream is where a command is left whose service does not answer, once
// for each id, and taken up when the service is back. What became of it is kept
// there, too:
//
//	deferred.<service>.<command>.<id>    the command, as it was sent
//	outcomes.<id>                        an Outcome
const DeferredStream = "DEFERRED"

// DeferredSubject is where a command is left; name is "orders.place".
func DeferredSubject(name, id string) string { return "deferred." + name + "." + id }

// OutcomeSubject is where it is told what became of a command.
func OutcomeSubject(id string) string { return "outcomes." + id }

// The statuses of an Outcome.
const (
	Pending = "pending"
	Done    = "done"
	Refused = "refused"
)

// Outcome is what became of a command that was left for later.
type Outcome struct {
	ID       string          `json:"id"`
	Status   string          `json:"status" enum:"pending,done,refused"`
	Position string          `json:"position,omitempty"` // STREAM:sequence, when done
	Result   json.RawMessage `json:"result,omitempty"`   // the answer, when done
	Problem  *errs.Error     `json:"problem,omitempty"`  // why not, when refused
}

// Health is what a replica says of itself on health.<service>.
type Health struct {
	Service string       `json:"service"`
	Replica string       `json:"replica"`
	Ready   bool         `json:"ready"`
	Log     string       `json:"log,omitempty"` // why the log takes no events now
	Views   []ViewHealth `json:"views"`
	// Behind are the shared consumers that stand still although there is more.
	Behind []string `json:"behind,omitempty"`
}

// ViewHealth is how a view does. Lag is how many events it is behind each stream;
// of one that is being rebuilt because its rows are of an older kind, or gone, how
// many are left to build it of.
type ViewHealth struct {
	Name       string            `json:"name"`
	Lag        map[string]uint64 `json:"lag"`
	Behind     []string          `json:"behind,omitempty"` // the streams that it does not follow
	Rebuilding bool              `json:"rebuilding,omitempty"`
	Failed     string            `json:"failed,omitempty"`
}
