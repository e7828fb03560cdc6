package events

// A book numbers what is written into it from 1, without a gap. Each is an entity of its own.
const (
	ReceiptBook = "receipts"
	CreditBook  = "credits"
)

// ReceiptIssued is recorded when an order was paid. An order has one receipt, also if it costs
// nothing. What was sold, at which prices and to whom, is in OrderPlaced.
type ReceiptIssued struct {
	// Number is that of the receipt before plus one; the first is 1.
	Number  int64   `json:"number" minimum:"1"`
	OrderID OrderID `json:"order_id"`
	Amount  Money   `json:"amount"` // that was paid
}

// ReceiptCredited is recorded when money of an order with a receipt was given back: the credit
// note to PaymentRefunded.
type ReceiptCredited struct {
	// Number is that of the credit note before plus one; the first is 1. Credit notes and receipts
	// are numbered apart.
	Number  int64   `json:"number" minimum:"1"`
	OrderID OrderID `json:"order_id"`
	Receipt int64   `json:"receipt" minimum:"1"`  // the number of the order's receipt
	Refund  string  `json:"refund" minLength:"1"` // the id of the event PaymentRefunded
	Amount  Money   `json:"amount"`               // that was given back
}

func (ReceiptIssued) EventName() string { return "receipt.issued.v1" }
func (ReceiptIssued) EntityID() string  { return ReceiptBook }
func (e ReceiptIssued) Order() OrderID  { return e.OrderID }
func (e ReceiptIssued) Check() error {
	return FirstOf(checkNumber("number", e.Number), Token("order_id", e.OrderID), e.Amount.Check("amount"))
}

func (ReceiptCredited) EventName() string { return "receipt.credited.v1" }
func (ReceiptCredited) EntityID() string  { return CreditBook }
func (e ReceiptCredited) Order() OrderID  { return e.OrderID }
func (e ReceiptCredited) Check() error {
	return FirstOf(checkNumber("number", e.Number), Token("order_id", e.OrderID), checkNumber("receipt", e.Receipt),
		Text("refund", e.Refund, 1, 500), e.Amount.Check("amount"))
}

func checkNumber(field string, n int64) error {
	if n < 1 {
		return InvalidField(field, "must be at least 1")
	}
	return nil
}
