// Package command holds the commands of the shop's services. A command asks a service to do
// something, and can be rejected with an error that has a code. It is sent as a JSON request
// on
//
//	commands.<service>.<command>         commands.orders.place
//
// and answered on its reply subject. The CloudEvents header ce-id is its id: sent twice under
// one id, it takes effect once and is answered the same.
package command

import (
	"strings"

	"lonja/events"
)

// Command is a request to one service to do something.
type Command interface {
	// CommandName returns the service and the command, such as "orders.place". It must not
	// depend on the receiver's fields.
	CommandName() string
	// EntityID returns the id of the entity that the command is about. It is empty when the
	// service derives it, such as from the command's id for a new entity.
	EntityID() string
	// Check returns an *events.FieldError about the first invalid field, or nil. It must
	// never become stricter: a command that was recorded, sent again, must pass.
	Check() error
}

// A command with texts also has a method Normal. It returns the command with its texts in
// their normal form, and an *events.FieldError about the rules that are stricter than Check.
// It is called only when a command is decided for the first time, so a command that was
// recorded before such a rule existed is still answered when it is sent again.

// Subject returns the subject on which a command is sent.
func Subject(c Command) string { return "commands." + c.CommandName() }

// What a provider reports about a payment: the values of SettlePayment.Outcome.
const (
	Pay     = "pay"
	Decline = "decline"
)

func oneOf(field, s string, allowed ...string) error {
	for _, a := range allowed {
		if s == a {
			return nil
		}
	}
	return events.InvalidField(field, "must be one of %s", strings.Join(allowed, ", "))
}
