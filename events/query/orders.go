package query

import (
	"encoding/json"
	"time"

	"lonja/events"
)

// The statuses of an order.
const (
	Placed          = "placed"
	AwaitingPayment = "awaiting_payment"
	Paid            = "paid"
	Shipped         = "shipped"
	Delivered       = "delivered"
	Cancelled       = "cancelled"
)

// Settled reports whether the customer of an order need not wait any longer: they know where
// to pay, or there is nothing to pay. payable is whether the order has a page to pay at.
func Settled(status string, payable bool) bool {
	return status != Placed && (status != AwaitingPayment || payable)
}

// Order asks orders for one OrderView. A customer sees only their own.
type Order struct {
	OrderID events.OrderID `json:"order_id"`
	// Origin, such as "https://shop.example", is put before a payment URL
	// that is only a path.
	Origin string `json:"origin,omitempty"`
	// Await, when not zero, delays the answer until the order is Settled, or that many
	// milliseconds have passed.
	Await int64 `json:"await_ms,omitempty"`
}

// Orders asks for a List[OrderView], newest first: all of them for staff, a
// customer's own for everybody else. Status and Customer, when not empty, must be equal.
type Orders struct {
	Status   string        `json:"status,omitempty"`
	Customer events.UserID `json:"customer_id,omitempty"`
	Origin   string        `json:"origin,omitempty"`
	Page
}

// OrderTimeline asks for every event about an order, as a []TimelineEntry, oldest first.
type OrderTimeline struct {
	OrderID events.OrderID `json:"order_id"`
}

// OrderStatuses asks for the []StatusChange of an order after the sequence After. The answer
// is delayed until there is one, or Await milliseconds have passed.
type OrderStatuses struct {
	OrderID events.OrderID `json:"order_id"`
	After   uint64         `json:"after" required:"false"`
	Await   int64          `json:"await_ms,omitempty"`
}

// OrderView is an order as its owner and staff see it.
type OrderView struct {
	ID         events.OrderID     `json:"id"`
	Status     string             `json:"status" enum:"placed,awaiting_payment,paid,shipped,delivered,cancelled"`
	CustomerID events.UserID      `json:"customer_id"`
	Currency   string             `json:"currency"`
	Total      events.Money       `json:"total"`
	TotalItems int64              `json:"total_items"`
	Items      []events.OrderItem `json:"items"`
	Payment    *OrderPayment      `json:"payment"`
	// Refunded is what went back to the customer; nil for nothing.
	Refunded     *events.Money `json:"refunded,omitempty" doc:"What went back to the customer; missing for nothing"`
	CancelReason string        `json:"cancel_reason,omitempty"`
	CreatedAt    time.Time     `json:"created_at"`
	UpdatedAt    time.Time     `json:"updated_at"`
}

// The statuses of a payment.
const (
	PaymentPending  = "pending"
	PaymentCaptured = "captured"
	PaymentDeclined = "declined"
	PaymentExpired  = "expired"
	PaymentVoided   = "voided"
	PaymentRefunded = "refunded"
	// PaymentPartiallyRefunded is the status after some of the money was given back.
	PaymentPartiallyRefunded = "partially_refunded"
)

// The statuses of an attempt to pay.
const (
	AttemptOpen        = "open"
	AttemptCaptured    = "captured"
	AttemptDeclined    = events.AttemptDeclined
	AttemptExpired     = events.AttemptExpired
	AttemptUnavailable = events.AttemptUnavailable
	AttemptReplaced    = "replaced" // by the next one
)

// PaymentStatusAfter returns the status that a payment has after an event, "" when the event
// is not one of PAYMENTS, or leaves the status as it is.
func PaymentStatusAfter(event events.Event) string {
	switch e := event.(type) {
	case events.PaymentRequested:
		return PaymentPending
	case events.PaymentCaptured:
		if e.Again {
			return ""
		}
		return PaymentCaptured
	case events.PaymentDeclined:
		return PaymentDeclined
	case events.PaymentExpired:
		return PaymentExpired
	case events.PaymentVoided:
		return PaymentVoided
	case events.PaymentRefunded:
		switch {
		case e.Again:
			return ""
		case e.Partial:
			return PaymentPartiallyRefunded
		}
		return PaymentRefunded
	}
	return ""
}

// OrderPayment is an order's payment. Provider and URL are those of the last attempt.
type OrderPayment struct {
	ID       events.PaymentID `json:"id"`
	Provider string           `json:"provider"`
	// Attempts are the earlier ones and the last, once one has failed or was replaced.
	Attempts []PaymentAttempt `json:"attempts,omitempty"`
	Status   string           `json:"status" enum:"pending,captured,declined,expired,voided,partially_refunded,refunded"`
	Amount   events.Money     `json:"amount"`
	// URL is where the customer pays. It is empty while the provider has no page, and once the
	// last attempt has failed.
	URL string `json:"url"`
}

// PaymentAttempt is one attempt to pay for an order, at one provider.
type PaymentAttempt struct {
	Number   int    `json:"number"`
	Provider string `json:"provider"`
	Status   string `json:"status" enum:"open,captured,declined,expired,unavailable,replaced"`
}

// TimelineEntry is one event, with its position, its actor and what caused it.
type TimelineEntry struct {
	Stream      string          `json:"stream"`
	Sequence    uint64          `json:"sequence"`
	Type        string          `json:"type"`
	Time        time.Time       `json:"time"`
	Actor       string          `json:"actor"`
	EventID     string          `json:"event_id"`
	CausationID string          `json:"causation_id"`
	Data        json.RawMessage `json:"data"`
}

// StatusChange is one change of an order's status. Sequence is that of its event on ORDERS.
type StatusChange struct {
	Sequence uint64    `json:"sequence"`
	Status   string    `json:"status"`
	Time     time.Time `json:"time"`
}

func (Order) QueryName() string         { return "orders.order" }
func (Orders) QueryName() string        { return "orders.orders" }
func (OrderTimeline) QueryName() string { return "orders.timeline" }
func (OrderStatuses) QueryName() string { return "orders.statuses" }
