package bus

import (
	"encoding/json"

	"lonja/kit/errs"
)

// Command is what a command's struct implements: its payload on NATS. (A service.Command
// declares that a service handles one; a decider.Command identifies one that is decided.) The entity's id may be empty when the service
// chooses it. Check reports what is wrong with the command's form, without any state.
type Command interface {
	CommandName() string
	EntityID() string
	Check() error
}

// Headers of an answer. An answer that is an error has the error headers of NATS services
// instead, so that `nats request` shows it as an error. Its body is an errs.Error in JSON.
const (
	HeaderEntity   = "lonja-entity"   // the id of the entity that was decided on
	HeaderPosition = "lonja-position" // STREAM:sequence of the event, or of the entity; of a query's answer, the position of its view
	HeaderReplayed = "lonja-replayed" // "true" when the event had been recorded before

	HeaderErrorCode = "Nats-Service-Error-Code" // an errs.Code
	HeaderError     = "Nats-Service-Error"
)

// An answer goes in one message if it fits. If not, the answer is an error with the size in
// HeaderSize. A client that can take the answer in parts asks again, with the most bytes that
// it takes in HeaderMaxSize. So no client gets more than it asked for, and plain
// `nats request` works for every answer that fits into one message.
const (
	HeaderSize    = "lonja-size" // of an error: the size of the answer in bytes
	HeaderMaxSize = "lonja-room" // of a request: the largest answer, in bytes, that the client takes in parts
	HeaderPart    = "lonja-part" // of one part of an answer: "2/7"
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

// ChangesSubject returns the subject, on core NATS, where each replica of a service notifies
// of changes to a key, once a view in the service's ChangeNotifications has committed them.
// The message is a position, STREAM:sequence, which is a consistency token: a query with it
// shows the change.
//
// So a client that waits for a change holds no resources in the service. It asks again when it
// is notified. Every replica notifies, so the same notification may come several times. Core
// NATS stores nothing, so it may also be lost: clients must ask now and then without one.
func ChangesSubject(service, key string) string { return "changes." + service + "." + key }

// DeferredStream holds commands whose service did not answer, once for each id, until the
// service handles them. It also holds their outcomes:
//
//	deferred.<service>.<command>.<id>    the command, as it was sent
//	outcomes.<id>                        an Outcome
const DeferredStream = "DEFERRED"

// DeferredSubject returns the subject of a deferred command. Name is that of the command, such
// as "orders.place".
func DeferredSubject(name, id string) string { return "deferred." + name + "." + id }

// OutcomeSubject returns the subject of a deferred command's outcome.
func OutcomeSubject(id string) string { return "outcomes." + id }

// The statuses of an Outcome. A command is rejected when its decision returned an error;
// "refused" is the name that this status has always had in messages.
const (
	OutcomePending  = "pending"
	OutcomeDone     = "done"
	OutcomeRejected = "refused"
)

// Outcome is what became of a deferred command.
type Outcome struct {
	ID       string          `json:"id"`
	Status   string          `json:"status" enum:"pending,done,refused"`
	Position string          `json:"position,omitempty"` // STREAM:sequence, when done
	Result   json.RawMessage `json:"result,omitempty"`   // the answer, when done
	Problem  *errs.Error     `json:"problem,omitempty"`  // the error, when rejected
}

// Health is what a replica reports about itself on the subject health.<service>.
type Health struct {
	Service string       `json:"service"`
	Replica string       `json:"replica"`
	Ready   bool         `json:"ready"`
	Log     string       `json:"log,omitempty"` // why no events can be recorded at the moment, "" when they can
	Views   []ViewHealth `json:"views"`
	// Stalled names the shared consumers that make no progress although messages are pending.
	Stalled []string `json:"behind,omitempty"`
}

// ViewHealth is the state of a view. Lag is how many events it is behind each stream. While a
// view is rebuilt because its rows are outdated or lost, Lag is what is left to read.
type ViewHealth struct {
	Name       string            `json:"name"`
	Lag        map[string]uint64 `json:"lag"`
	Stalled    []string          `json:"behind,omitempty"` // the streams that it gets no events from although there are more
	Rebuilding bool              `json:"rebuilding,omitempty"`
	Failed     string            `json:"failed,omitempty"` // why it has stopped, "" when it has not
}
