package command

import "lonja/events"

// SettlePayment reports an outcome of the sandbox provider, Pay or Decline. Anyone who has
// the payment's link may send it.
type SettlePayment struct {
	PaymentID events.PaymentID `json:"payment_id"`
	Outcome   string           `json:"outcome" enum:"pay,decline"`
}

func (SettlePayment) CommandName() string { return "payments.settle" }
func (c SettlePayment) EntityID() string  { return string(c.PaymentID) }
func (c SettlePayment) Check() error {
	return events.FirstOf(events.Token("payment_id", c.PaymentID), oneOf("outcome", c.Outcome, Pay, Decline))
}

// RetryPayment asks for one more attempt to pay, after one that failed or instead of one. Who
// sends it has made sure that the actor may pay for the order: payments does not know whose it
// is.
type RetryPayment struct {
	PaymentID events.PaymentID `json:"payment_id"`
	// Provider takes the money of this attempt; "" means that of the attempt before.
	Provider string `json:"provider,omitempty"`
}

func (RetryPayment) CommandName() string { return "payments.retry" }
func (c RetryPayment) EntityID() string  { return string(c.PaymentID) }
func (c RetryPayment) Check() error {
	return events.FirstOf(events.Token("payment_id", c.PaymentID), events.Text("provider", c.Provider, 0, 50))
}

// What a provider reports besides Pay and Decline: the values of ReportPayment.Outcome.
const (
	Expire        = "expire"         // nobody paid at the page in time
	Dispute       = "dispute"        // a customer wants money back from their bank
	RefundFailure = "refund_failure" // money that was to go back did not
)

// ReportPayment says what a provider reports about a payment. Only its actor, ProviderActor,
// may send it. It holds nothing about the person who pays.
type ReportPayment struct {
	Provider string `json:"provider"`
	Outcome  string `json:"outcome" enum:"pay,decline,expire,dispute,refund_failure"`
	// PaymentID and Attempt are what the provider was told about the page. They are missing if the
	// report does not say them; then the payment is that of the Capture.
	PaymentID events.PaymentID `json:"payment_id,omitempty"`
	Attempt   int              `json:"attempt,omitempty"`
	Reference string           `json:"reference,omitempty"` // the provider's name for the page
	Capture   string           `json:"capture,omitempty"`   // its name for the money
	// Amount and Currency are what was paid, or is disputed, as the provider counts it. They are not
	// checked: what does not fit is what a report may have to say.
	Amount   int64  `json:"amount,omitempty"`
	Currency string `json:"currency,omitempty"`
	// Report is the provider's name for the report.
	Report string `json:"report"`
}

// ProviderActor returns the id of the actor who reports what a provider says.
func ProviderActor(provider string) string { return "provider:" + provider }

func (ReportPayment) CommandName() string { return "payments.report" }
func (c ReportPayment) EntityID() string  { return string(c.PaymentID) }
func (c ReportPayment) Check() error {
	if c.PaymentID != "" {
		if err := events.Token("payment_id", c.PaymentID); err != nil {
			return err
		}
	}
	return events.FirstOf(events.Text("provider", c.Provider, 1, 50),
		oneOf("outcome", c.Outcome, Pay, Decline, Expire, Dispute, RefundFailure),
		events.Text("reference", c.Reference, 0, 255), events.Text("capture", c.Capture, 0, 255),
		events.Text("currency", c.Currency, 0, 10), events.Text("report", c.Report, 1, 255))
}
