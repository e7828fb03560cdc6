package query

import (
	"time"

	"lonja/events"
)

// OrderRefunds asks orders for the []RefundView of an order, oldest first. A customer sees only those of
// their own orders.
type OrderRefunds struct {
	OrderID events.OrderID `json:"order_id"`
}

// The statuses of a refund.
const (
	RefundRequested = "requested"
	RefundDone      = "refunded"
	RefundFailed    = "failed"
)

// RefundView is a refund as the order's owner and staff see it.
type RefundView struct {
	ID      events.RefundID `json:"id"`
	OrderID events.OrderID  `json:"order_id"`
	Amount  events.Money    `json:"amount"`
	// Lines are the products that the money is for, if staff named any.
	Lines  []events.RefundLine `json:"lines,omitempty"`
	Reason string              `json:"reason,omitempty"`
	Status string              `json:"status" enum:"requested,refunded,failed"`
	// Problem says why the provider did not give the money back. Only staff see it.
	Problem     string    `json:"problem,omitempty" doc:"Why it failed; staff only"`
	RequestedAt time.Time `json:"requested_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

func (OrderRefunds) QueryName() string { return "orders.refunds" }
