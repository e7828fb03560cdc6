package audit

import (
	"slices"
	"strings"

	"lonja/events"
)

// step is an event's role in the history of its entity.
type step uint8

// The steps. Those of an order's four histories come first, because an order has
// an array with an element for each of them.
const (
	nothing step = iota
	placed
	awaiting
	paid
	shipped
	delivered
	cancelled
	refundAsked
	refundGivenUp
	reserved
	refused
	committed
	released // because the order was cancelled
	lapsed   // released because the reservation expired
	returned
	restocked
	requested
	captured
	unwanted // captured after the order was cancelled
	declined
	expired
	voided
	refundOpened
	refundUnmade
	refunded
	capturedAgain // after the order's money was captured
	returnedAgain // what was captured again
	pageOpened
	attemptFailed
	retried
	pageClosed
	flagged
	issued
	credited
	orderSteps // the number of steps of an order, its stock, its payment and its receipt

	created
	changed
	archived
	restored
	registered
	accountSealed
	profileChanged
	emailChanged
	rolesChanged
	passwordChanged
	erased
	started
	rotated
	ended
	refreshed
	opened
	keyAdded
	adminAppointed
	steps
)

var names = [steps]string{
	nothing: "nothing",
	placed:  "placed", awaiting: "awaiting_payment", paid: "paid", shipped: "shipped", delivered: "delivered", cancelled: "cancelled",
	refundAsked: "refund_requested", refundGivenUp: "refund_failed", restocked: "restocked", refundOpened: "refund_requested", refundUnmade: "refund_failed",
	reserved: "reserved", refused: "refused", committed: "committed", released: "released", lapsed: "released as expired", returned: "returned",
	requested: "requested", captured: "captured", unwanted: "captured as unwanted", declined: "declined", expired: "expired", voided: "voided", refunded: "refunded",
	capturedAgain: "captured again", returnedAgain: "refunded again", pageOpened: "page opened", attemptFailed: "attempt_failed", retried: "retried",
	pageClosed: "page_closed", flagged: "flagged",
	issued: "issued", credited: "credited",
	created: "created", changed: "changed", archived: "archived", restored: "restored",
	registered: "registered", accountSealed: "sealed", profileChanged: "profile_changed", emailChanged: "email_changed",
	rolesChanged: "roles_changed", passwordChanged: "password_changed", erased: "erased", started: "started", rotated: "rotated", ended: "ended",
	refreshed: "refreshed",
	opened:    "opened", keyAdded: "key_added", adminAppointed: "admin_appointed",
}

func (s step) String() string { return names[s] }

// predecessors lists the steps after which each step is legal.
var predecessors = [steps][]step{
	placed:    {nothing},
	awaiting:  {placed},
	paid:      {awaiting, placed}, // at once when it costs nothing
	shipped:   {paid},
	delivered: {shipped},
	cancelled: {placed, awaiting, paid},
	// Refunds run beside the order's own steps; see refunds.go.
	refundAsked:   {paid, shipped, delivered, cancelled},
	refundGivenUp: {paid, shipped, delivered, cancelled},

	// The stock of one order. The order's events can reach inventory in any order:
	// the stock of an order that is already cancelled is released before it is
	// reserved, and the payment can arrive after the reservation has expired.
	reserved:  {nothing},
	refused:   {nothing, lapsed},
	committed: {nothing, reserved, lapsed},
	released:  {nothing, reserved, lapsed},
	lapsed:    {reserved},
	returned:  {committed},
	restocked: {committed},

	// A payment can be voided before it is requested. A capture after that is
	// unwanted.
	requested: {nothing},
	captured:  {requested, expired},
	unwanted:  {voided},
	declined:  {requested},
	expired:   {requested},
	voided:    {nothing, requested, expired},
	refunded:  {captured, unwanted}, // by an earlier version, which gave back all

	refundOpened: {captured, unwanted, refunded},
	refundUnmade: {captured, unwanted, refunded},

	// Notes: they leave the payment where it is. A page may be opened, and closed, when the
	// payment is over already.
	capturedAgain: {captured, unwanted, refunded},
	returnedAgain: {captured, unwanted, refunded},
	pageOpened:    {requested, captured, unwanted, expired, voided, refunded},
	attemptFailed: {requested},
	retried:       {requested},
	pageClosed:    {requested, captured, unwanted, expired, voided, refunded},
	flagged:       {nothing, requested, captured, unwanted, declined, expired, voided, refunded},
	// Receipts and credit notes are in different books, and checkReceipt compares them.
	issued:   {nothing, credited},
	credited: {nothing, issued, credited},

	created:  {nothing},
	changed:  {created, changed, restored},
	archived: {created, changed, restored},
	restored: {archived},

	registered:      {nothing},
	accountSealed:   {registered, profileChanged, emailChanged, rolesChanged, passwordChanged},
	profileChanged:  inUse,
	emailChanged:    inUse,
	rolesChanged:    inUse,
	passwordChanged: inUse,
	erased:          inUse,
	started:         {nothing},
	rotated:         {started, rotated},
	refreshed:       {started, refreshed}, // of a session that is on the stream of sessions
	ended:           {started, rotated, refreshed},

	opened:         {nothing},
	keyAdded:       {opened, keyAdded, adminAppointed},
	adminAppointed: {keyAdded, adminAppointed},
}

// inUse lists the last steps of an account that has not been erased. Nothing follows an
// erasure, also when it was decided just before: each event of an account is recorded on the
// condition that the account has not changed.
var inUse = []step{registered, accountSealed, profileChanged, emailChanged, rolesChanged, passwordChanged}

// isNote reports whether a step leaves a payment where it is.
func isNote(s step) bool { return s >= capturedAgain && s <= flagged }

// allowed reports whether a step may follow another.
func allowed(before, s step) bool { return slices.Contains(predecessors[s], before) }

// oneOf joins steps: "paid or shipped".
func oneOf(choice []step) string {
	var words []string
	for _, s := range choice {
		words = append(words, s.String())
	}
	return strings.Join(words, " or ")
}

// stepOf returns an event's step. It returns nothing for a stock level that was
// counted or adjusted and for an address that was claimed or released, which belong
// to no history.
func stepOf(event events.Event) step {
	switch e := event.(type) {
	case events.StockReleased:
		if e.Reason == events.ReleasedExpired {
			return lapsed
		}
		return released
	case events.PaymentCaptured:
		switch {
		case e.Again:
			return capturedAgain
		case e.Unwanted:
			return unwanted
		}
		return captured
	case events.PaymentRefunded:
		if e.Again {
			return returnedAgain
		}
	}
	return stepByEvent[event.EventName()]
}

// stepByEvent maps the events that are always the same step.
var stepByEvent = map[string]step{
	events.OrderPlaced{}.EventName(): placed, events.OrderAwaitingPayment{}.EventName(): awaiting, events.OrderPaid{}.EventName(): paid,
	events.OrderShipped{}.EventName(): shipped, events.OrderDelivered{}.EventName(): delivered, events.OrderCancelled{}.EventName(): cancelled,
	events.OrderRefundRequested{}.EventName(): refundAsked, events.OrderRefundFailed{}.EventName(): refundGivenUp, events.StockRestocked{}.EventName(): restocked,
	events.PaymentRefundRequested{}.EventName(): refundOpened, events.PaymentRefundFailed{}.EventName(): refundUnmade,
	events.StockReserved{}.EventName(): reserved, events.StockRefused{}.EventName(): refused, events.StockCommitted{}.EventName(): committed,
	events.StockReturned{}.EventName():    returned,
	events.PaymentRequested{}.EventName(): requested, events.PaymentDeclined{}.EventName(): declined, events.PaymentExpired{}.EventName(): expired,
	events.PaymentVoided{}.EventName(): voided, events.PaymentRefunded{}.EventName(): refunded, events.PaymentOpened{}.EventName(): pageOpened, events.PaymentAttemptFailed{}.EventName(): attemptFailed,
	events.PaymentRetried{}.EventName(): retried, events.PaymentPageClosed{}.EventName(): pageClosed, events.PaymentFlagged{}.EventName(): flagged,
	events.ReceiptIssued{}.EventName(): issued, events.ReceiptCredited{}.EventName(): credited,
	events.ProductCreated{}.EventName(): created, events.ProductChanged{}.EventName(): changed, events.ProductArchived{}.EventName(): archived,
	events.ProductRestored{}.EventName(): restored,
	events.UserRegistered{}.EventName():  registered, events.UserSealed{}.EventName(): accountSealed, events.UserProfileChanged{}.EventName(): profileChanged,
	events.UserEmailChanged{}.EventName(): emailChanged, events.UserRolesChanged{}.EventName(): rolesChanged,
	events.UserPasswordChanged{}.EventName(): passwordChanged, events.UserErased{}.EventName(): erased,
	events.SessionStarted{}.EventName(): started, events.SessionRotated{}.EventName(): rotated, events.SessionEnded{}.EventName(): ended,
	events.LoginStarted{}.EventName(): started, events.LoginRefreshed{}.EventName(): refreshed, events.LoginEnded{}.EventName(): ended,
	events.RealmOpened{}.EventName(): opened, events.RealmKeyAdded{}.EventName(): keyAdded, events.RealmAdminAppointed{}.EventName(): adminAppointed,
}
