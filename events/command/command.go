// Package command holds the shop's commands: what somebody may ask a service to
// do, and may be refused. A command is sent as a JSON request on
//
//	commands.<service>.<command>         commands.orders.place
//
// and answered on its reply subject. Its CloudEvents header ce-id names it;
// sent twice under one id, it takes effect once.
package command

import "lonja/events"

// Command is a command to one service.
type Command interface {
	// CommandName names service and command, such as "orders.place". It must not
	// look at the receiver's fields.
	CommandName() string
	// NewEntityID is the id of the entity that the command is about, or empty
	// when the service derives it: from the command's own id for a new entity.
	EntityID() string
	// Check tells what is wrong with the command's fields, as an
	// *events.FieldError, or nil.
	Check() error
}

// A command with texts also has a method Normal. It returns the command with its
// texts in their normal form, and what is wrong with them by rules that came later
// than the log's first events: they hold for a command that is decided now, not for
// one that was recorded before and is sent again.

// Subject is where a command is sent.
func Subject(c Command) string { return "commands." + c.CommandName() }

// Outcomes of a payment at its provider.
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
	return events.Wrong(field, "must be one of %v", allowed)
}
