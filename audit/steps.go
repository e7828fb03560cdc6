package audit

import (
	"slices"
	"strings"

	"lonja/events"
)

// step is what an event is to the entity that it moves: one of a history's steps.
type step uint8

// The steps. Those of an order's three histories come first, since a story has
// a place for each of them.
const (
	nothing step = iota
	placed
	awaiting
	paid
	shipped
	delivered
	cancelled
	reserved
	refused
	committed
	released // because the order was cancelled
	lapsed   // released because nobody paid in time
	returned
	requested
	captured
	unwanted // captured for an order that was cancelled before
	declined
	expired
	voided
	refunded
	storySteps // how many there are

	created
	changed
	archived
	restored
	registered
	rolesChanged
	passwordChanged
	started
	rotated
	ended
	opened
	keyAdded
	adminAppointed
	steps
)

var names = [steps]string{
	nothing: "nothing",
	placed:  "placed", awaiting: "awaiting_payment", paid: "paid", shipped: "shipped", delivered: "delivered", cancelled: "cancelled",
	reserved: "reserved", refused: "refused", committed: "committed", released: "released", lapsed: "released as expired", returned: "returned",
	requested: "requested", captured: "captured", unwanted: "captured as unwanted", declined: "declined", expired: "expired", voided: "voided", refunded: "refunded",
	created: "created", changed: "changed", archived: "archived", restored: "restored",
	registered: "registered", rolesChanged: "roles_changed", passwordChanged: "password_changed", started: "started", rotated: "rotated", ended: "ended",
	opened: "opened", keyAdded: "key_added", adminAppointed: "admin_appointed",
}

func (s step) String() string { return names[s] }

// follows says after which steps of its history each step may come.
var follows = [steps][]step{
	placed:    {nothing},
	awaiting:  {placed},
	paid:      {awaiting, placed}, // at once when it costs nothing
	shipped:   {paid},
	delivered: {shipped},
	cancelled: {placed, awaiting, paid},

	// Of one order's goods. Its events may reach the stock in any order: goods of
	// an order that is already cancelled are released before they are reserved,
	// and money may come after the reservation has lapsed.
	reserved:  {nothing},
	refused:   {nothing, lapsed},
	committed: {nothing, reserved, lapsed},
	released:  {nothing, reserved, lapsed},
	lapsed:    {reserved},
	returned:  {committed},

	// A payment is voided, too, before it was asked for; money that comes after
	// that is unwanted.
	requested: {nothing},
	captured:  {requested, expired},
	unwanted:  {voided},
	declined:  {requested},
	expired:   {requested},
	voided:    {nothing, requested, expired},
	refunded:  {captured, unwanted},

	created:  {nothing},
	changed:  {created, changed, restored},
	archived: {created, changed, restored},
	restored: {archived},

	registered:      {nothing},
	rolesChanged:    {registered, rolesChanged, passwordChanged},
	passwordChanged: {registered, rolesChanged, passwordChanged},
	started:         {nothing},
	rotated:         {started, rotated},
	ended:           {started, rotated},

	opened:         {nothing},
	keyAdded:       {opened, keyAdded, adminAppointed},
	adminAppointed: {keyAdded, adminAppointed},
}

// legal tells whether a step may come after another.
func legal(before, s step) bool { return slices.Contains(follows[s], before) }

// oneOf writes steps as a choice: "paid or shipped".
func oneOf(choice []step) string {
	var words []string
	for _, s := range choice {
		words = append(words, s.String())
	}
	return strings.Join(words, " or ")
}

// stepOf is the step that an event is, nothing for a level that was counted or
// adjusted, which is no step of a history.
func stepOf(event events.Event) step {
	switch e := event.(type) {
	case events.StockReleased:
		if e.Reason == events.ReleasedExpired {
			return lapsed
		}
		return released
	case events.PaymentCaptured:
		if e.Unwanted {
			return unwanted
		}
		return captured
	}
	return plain[event.EventName()]
}

// plain are the events that are always the same step.
var plain = map[string]step{
	events.OrderPlaced{}.EventName(): placed, events.OrderAwaitingPayment{}.EventName(): awaiting, events.OrderPaid{}.EventName(): paid,
	events.OrderShipped{}.EventName(): shipped, events.OrderDelivered{}.EventName(): delivered, events.OrderCancelled{}.EventName(): cancelled,
	events.StockReserved{}.EventName(): reserved, events.StockRefused{}.EventName(): refused, events.StockCommitted{}.EventName(): committed,
	events.StockReturned{}.EventName():    returned,
	events.PaymentRequested{}.EventName(): requested, events.PaymentDeclined{}.EventName(): declined, events.PaymentExpired{}.EventName(): expired,
	events.PaymentVoided{}.EventName(): voided, events.PaymentRefunded{}.EventName(): refunded,
	events.ProductCreated{}.EventName(): created, events.ProductChanged{}.EventName(): changed, events.ProductArchived{}.EventName(): archived,
	events.UserRegistered{}.EventName(): registered, events.UserRolesChanged{}.EventName(): rolesChanged,
	events.ProductRestored{}.EventName(): restored, events.UserPasswordChanged{}.EventName(): passwordChanged,
	events.SessionStarted{}.EventName(): started, events.SessionRotated{}.EventName(): rotated, events.SessionEnded{}.EventName(): ended,
	events.RealmOpened{}.EventName(): opened, events.RealmKeyAdded{}.EventName(): keyAdded, events.RealmAdminAppointed{}.EventName(): adminAppointed,
}
