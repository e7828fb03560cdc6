package events

import "fmt"

// OrderItem is one line of an order, at the price at which it was placed.
type OrderItem struct {
	SKU       SKU    `json:"sku"`
	Name      string `json:"name"`
	Quantity  int64  `json:"quantity" minimum:"1" maximum:"1000000000"`
	UnitPrice Money  `json:"unit_price"`
	LineTotal Money  `json:"line_total"`
}

// LinesOf returns the quantities of items, one line for each item. A SKU that is in several
// items has several lines; see PerSKU.
func LinesOf(items []OrderItem) []Quantity {
	lines := make([]Quantity, len(items))
	for i, item := range items {
		lines[i] = Quantity{SKU: item.SKU, Quantity: item.Quantity}
	}
	return lines
}

// OrderPlaced is recorded when a customer placed an order. It carries every line and the
// total, so that readers need not ask the catalogue.
type OrderPlaced struct {
	OrderID    OrderID     `json:"order_id"`
	CustomerID UserID      `json:"customer_id"`
	Items      []OrderItem `json:"items" minItems:"1"`
	Total      Money       `json:"total"`
	TotalItems int64       `json:"total_items"`
}

// OrderAwaitingPayment is recorded when the goods of an order are reserved. Amount is due.
type OrderAwaitingPayment struct {
	OrderID OrderID `json:"order_id"`
	Amount  Money   `json:"amount"`
}

// OrderPaid is recorded when the order's money has come, or when the order costs nothing.
type OrderPaid struct {
	OrderID OrderID `json:"order_id"`
	// PaymentID is the order's payment. It was never requested when Amount is 0.
	PaymentID PaymentID  `json:"payment_id"`
	Amount    Money      `json:"amount"`
	Lines     []Quantity `json:"lines" minItems:"1"`
}

// OrderShipped is recorded when the goods have left. Inventory had committed them before.
type OrderShipped struct {
	OrderID OrderID `json:"order_id"`
}

// OrderDelivered is recorded when the goods have arrived.
type OrderDelivered struct {
	OrderID OrderID `json:"order_id"`
}

// Why an order was cancelled: the values of OrderCancelled.Reason.
const (
	CancelledByCustomer = "customer"
	CancelledByStaff    = "staff"
	OutOfStock          = "out_of_stock"
	ReservationExpired  = "reservation_expired"
	PaymentWasDeclined  = "payment_declined"
	PaymentHasExpired   = "payment_expired"
)

// OrderCancelled ends an order. Money that was or will be captured for it is refunded, and
// its goods are released or returned.
type OrderCancelled struct {
	OrderID OrderID `json:"order_id"`
	Reason  string  `json:"reason" minLength:"1" example:"out_of_stock"`
	// WasPaid is true when the order was paid before it was cancelled.
	WasPaid bool `json:"was_paid,omitempty"`
}

func (OrderPlaced) EventName() string  { return "order.placed.v1" }
func (e OrderPlaced) EntityID() string { return string(e.OrderID) }
func (e OrderPlaced) Order() OrderID   { return e.OrderID }
func (e OrderPlaced) Check() error {
	if len(e.Items) == 0 {
		return InvalidField("items", "must not be empty")
	}
	for i, item := range e.Items {
		if err := item.check(e.Total.Currency); err != nil {
			return InField(fmt.Sprintf("items[%d]", i), err)
		}
	}
	return FirstOf(Token("order_id", e.OrderID), Token("customer_id", e.CustomerID), e.Total.Check("total"))
}

func (i OrderItem) check(currency string) error {
	switch {
	case i.Quantity < 1 || i.Quantity > MaxQuantity:
		return InvalidField("quantity", "must be 1 to %d", int64(MaxQuantity))
	case i.UnitPrice.Currency != currency || i.LineTotal.Currency != currency:
		return InvalidField("unit_price.currency", "must be the currency of the total")
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
