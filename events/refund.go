package events

import "fmt"

// MaxRefunds is the maximum number of refunds of an order.
const MaxRefunds = 100

// RefundLine is what is refunded of a product that was ordered.
type RefundLine struct {
	SKU      SKU   `json:"sku"`
	Quantity int64 `json:"quantity" minimum:"1" maximum:"1000000000"`
	// Restock is true when these pieces go back into stock.
	Restock bool `json:"restock,omitempty"`
	// Amount is what these pieces cost.
	Amount Money `json:"amount"`
}

// OrderRefundRequested is recorded when staff give back a part of an order's money, or the rest. It
// is recorded again, with the same RefundID, when a refund that failed is tried again.
type OrderRefundRequested struct {
	OrderID  OrderID  `json:"order_id"`
	RefundID RefundID `json:"refund_id"`
	Amount   Money    `json:"amount"`
	// Lines are the products that the money is for, if staff named any.
	Lines  []RefundLine `json:"lines,omitempty"`
	Reason string       `json:"reason,omitempty"`
}

// OrderRefundFailed is recorded when the provider did not give an order's money back. The amount can
// be refunded again, and the refund tried again.
type OrderRefundFailed struct {
	OrderID  OrderID  `json:"order_id"`
	RefundID RefundID `json:"refund_id"`
	Amount   Money    `json:"amount"`
}

// PaymentRefundRequested is recorded before the provider is asked to give captured money back. From
// then on nobody else can give back the same money.
type PaymentRefundRequested struct {
	PaymentID PaymentID `json:"payment_id"`
	OrderID   OrderID   `json:"order_id"`
	RefundID  RefundID  `json:"refund_id"`
	Amount    Money     `json:"amount"`
}

// PaymentRefundFailed is recorded when the provider refused to give money back, or could not be asked
// for so long that it was given up.
type PaymentRefundFailed struct {
	PaymentID PaymentID `json:"payment_id"`
	OrderID   OrderID   `json:"order_id"`
	RefundID  RefundID  `json:"refund_id"`
	Amount    Money     `json:"amount"`
	// Detail says why.
	Detail string `json:"detail" minLength:"1"`
	// Unknown is true when no answer came, so the money may have gone back all the same. When the
	// refund is tried again, the provider can tell that it is the same one.
	Unknown bool `json:"unknown,omitempty"`
}

// StockRestocked is recorded when pieces of an order that is not cancelled are on hand again, because
// they were refunded.
type StockRestocked struct {
	Location LocationID `json:"location"`
	OrderID  OrderID    `json:"order_id"`
	RefundID RefundID   `json:"refund_id"`
	Lines    []Quantity `json:"lines" minItems:"1"`
	// Kept are the pieces that the customer still has.
	Kept []Quantity `json:"kept,omitempty"`
	// Earlier are the refunds of the order whose pieces were on hand again before.
	Earlier []RefundID `json:"earlier,omitempty"`
}

func (OrderRefundRequested) EventName() string  { return "order.refund_requested.v1" }
func (e OrderRefundRequested) EntityID() string { return string(e.OrderID) }
func (e OrderRefundRequested) Order() OrderID   { return e.OrderID }
func (e OrderRefundRequested) Check() error {
	for i, line := range e.Lines {
		if err := line.check(e.Amount.Currency); err != nil {
			return InField(fmt.Sprintf("lines[%d]", i), err)
		}
	}
	return FirstOf(Token("order_id", e.OrderID), checkRefund(e.RefundID, e.Amount), Text("reason", e.Reason, 0, 500))
}

func (l RefundLine) check(currency string) error {
	switch {
	case l.Quantity < 1 || l.Quantity > MaxQuantity:
		return InvalidField("quantity", "must be 1 to %d", int64(MaxQuantity))
	case l.Amount.Currency != currency:
		return InvalidField("amount.currency", "must be the currency of the refund")
	}
	return FirstOf(Token("sku", l.SKU), l.Amount.Check("amount"))
}

// Restocked returns the pieces that go back into stock, one line for each SKU.
func (e OrderRefundRequested) Restocked() []Quantity {
	var lines []Quantity
	for _, line := range e.Lines {
		if line.Restock {
			lines = append(lines, Quantity{SKU: line.SKU, Quantity: line.Quantity})
		}
	}
	return PerSKU(lines)
}

func (OrderRefundFailed) EventName() string  { return "order.refund_failed.v1" }
func (e OrderRefundFailed) EntityID() string { return string(e.OrderID) }
func (e OrderRefundFailed) Order() OrderID   { return e.OrderID }
func (e OrderRefundFailed) Check() error {
	return FirstOf(Token("order_id", e.OrderID), checkRefund(e.RefundID, e.Amount))
}

func (PaymentRefundRequested) EventName() string  { return "payment.refund_requested.v1" }
func (e PaymentRefundRequested) EntityID() string { return string(e.PaymentID) }
func (e PaymentRefundRequested) Order() OrderID   { return e.OrderID }
func (e PaymentRefundRequested) Check() error {
	return FirstOf(checkPayment(e.PaymentID, e.OrderID), checkRefund(e.RefundID, e.Amount))
}

func (PaymentRefundFailed) EventName() string  { return "payment.refund_failed.v1" }
func (e PaymentRefundFailed) EntityID() string { return string(e.PaymentID) }
func (e PaymentRefundFailed) Order() OrderID   { return e.OrderID }
func (e PaymentRefundFailed) Check() error {
	return FirstOf(checkPayment(e.PaymentID, e.OrderID), checkRefund(e.RefundID, e.Amount), Text("detail", e.Detail, 1, 500))
}

func (StockRestocked) EventName() string  { return "stock.restocked.v1" }
func (e StockRestocked) EntityID() string { return string(e.Location) }
func (e StockRestocked) Order() OrderID   { return e.OrderID }
func (e StockRestocked) Check() error {
	for i, id := range e.Earlier {
		if err := Token(fmt.Sprintf("earlier[%d]", i), id); err != nil {
			return err
		}
	}
	for i, kept := range e.Kept {
		if kept.Quantity < 1 || kept.Quantity > MaxQuantity {
			return InvalidField(fmt.Sprintf("kept[%d].quantity", i), "must be 1 to %d", int64(MaxQuantity))
		}
		if err := Token("sku", kept.SKU); err != nil {
			return InField(fmt.Sprintf("kept[%d]", i), err)
		}
	}
	return FirstOf(checkLines(e.Location, e.OrderID, e.Lines, 1), Token("refund_id", e.RefundID))
}

func checkRefund(id RefundID, amount Money) error {
	return FirstOf(Token("refund_id", id), amount.Check("amount"))
}
