package events

import "fmt"

// OrderItem is one line of an order, at the price that was promised.
type OrderItem struct {
	SKU       SKU    `json:"sku"`
	Name      string `json:"name"`
	Quantity  int64  `json:"quantity"`
	UnitPrice Money  `json:"unit_price"`
	LineTotal Money  `json:"line_total"`
}

// LinesOf returns what the items ask for, one line for each item. A SKU that stands
// in several items has several lines; see PerSKU.
func LinesOf(items []OrderItem) []Quantity {
	lines := make([]Quantity, len(items))
	for i, item := range items {
		lines[i] = Quantity{SKU: item.SKU, Quantity: item.Quantity}
	}
	return lines
}

// OrderPlaced begins an order. It carries every line and the total, so that
// nobody needs to ask the catalogue again.
type OrderPlaced struct {
	OrderID    OrderID     `json:"order_id"`
	CustomerID UserID      `json:"customer_id"`
	Items      []OrderItem `json:"items"`
	Total      Money       `json:"total"`
	TotalItems int64       `json:"total_items"`
}

// OrderAwaitingPayment says that the goods are set aside and Amount is due.
type OrderAwaitingPayment struct {
	OrderID OrderID `json:"order_id"`
	Amount  Money   `json:"amount"`
}

// OrderPaid says that the order's money has come, or that it costs nothing.
type OrderPaid struct {
	OrderID OrderID `json:"order_id"`
	// PaymentID is the order's payment; nobody was asked for it when Amount is 0.
	PaymentID PaymentID  `json:"payment_id"`
	Amount    Money      `json:"amount"`
	Lines     []Quantity `json:"lines"`
}

// OrderShipped says that the goods left; they were committed before.
type OrderShipped struct {
	OrderID OrderID `json:"order_id"`
}

// OrderDelivered says that the goods arrived.
type OrderDelivered struct {
	OrderID OrderID `json:"order_id"`
}

// The reasons of an OrderCancelled.
const (
	CancelledByCustomer = "customer"
	CancelledByStaff    = "staff"
	OutOfStock          = "out_of_stock"
	ReservationExpired  = "reservation_expired"
	PaymentWasDeclined  = "payment_declined"
	PaymentHasExpired   = "payment_expired"
)

// OrderCancelled ends an order. Money that was captured for it, before or
// after, is refunded; goods that were set aside are given back.
type OrderCancelled struct {
	OrderID OrderID `json:"order_id"`
	Reason  string  `json:"reason"`
	// WasPaid is true when the order was paid before it was cancelled.
	WasPaid bool `json:"was_paid,omitempty"`
}

func (OrderPlaced) EventName() string  { return "order.placed.v1" }
func (e OrderPlaced) EntityID() string { return string(e.OrderID) }
func (e OrderPlaced) Order() OrderID   { return e.OrderID }
func (e OrderPlaced) Check() error {
	if len(e.Items) == 0 {
		return Wrong("items", "must not be empty")
	}
	for i, item := range e.Items {
		if err := item.check(e.Total.Currency); err != nil {
			return In(fmt.Sprintf("items[%d]", i), err)
		}
	}
	return FirstOf(Token("order_id", e.OrderID), Token("customer_id", e.CustomerID), e.Total.Check("total"))
}

func (i OrderItem) check(currency string) error {
	switch {
	case i.Quantity < 1 || i.Quantity > MaxQuantity:
		return Wrong("quantity", "must be 1 to %d", int64(MaxQuantity))
	case i.UnitPrice.Currency != currency || i.LineTotal.Currency != currency:
		return Wrong("unit_price.currency", "must be the total's, %s", currency)
	}
	return FirstOf(Token("sku", i.SKU), i.UnitPrice.Check("unit_price"), i.LineTotal.Check("line_total"))
}

func (OrderAwaitingPayment) EventName() string  { return "order.awaiting_payment.v1" }
func (e OrderAwaitingPayment) EntityID() string { return string(e.OrderID) }
func (e OrderAwaitingPayment) Order() OrderID   { return e.OrderID }
func (e OrderAwaitingPayment) Check() error {
	return FirstOf(Token("order_id", e.OrderID), e.Amount.Check("amount"))
}

func (OrderPaid) EventName() string  { return "order.paid.v1" }
func (e OrderPaid) EntityID() string { return string(e.OrderID) }
func (e OrderPaid) Order() OrderID   { return e.OrderID }
func (e OrderPaid) Check() error {
	return FirstOf(
		checkLines(MainLocation, e.OrderID, e.Lines, 1),
		Token("payment_id", e.PaymentID), e.Amount.Check("amount"))
}

func (OrderShipped) EventName() string  { return "order.shipped.v1" }
func (e OrderShipped) EntityID() string { return string(e.OrderID) }
func (e OrderShipped) Order() OrderID   { return e.OrderID }
func (e OrderShipped) Check() error     { return Token("order_id", e.OrderID) }

func (OrderDelivered) EventName() string  { return "order.delivered.v1" }
func (e OrderDelivered) EntityID() string { return string(e.OrderID) }
func (e OrderDelivered) Order() OrderID   { return e.OrderID }
func (e OrderDelivered) Check() error     { return Token("order_id", e.OrderID) }

func (OrderCancelled) EventName() string  { return "order.cancelled.v1" }
func (e OrderCancelled) EntityID() string { return string(e.OrderID) }
func (e OrderCancelled) Order() OrderID   { return e.OrderID }
func (e OrderCancelled) Check() error {
	return FirstOf(Token("order_id", e.OrderID), Text("reason", e.Reason, 1, 100))
}
