package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/eventlog"
	"lonja/kit/httpapi"
	"lonja/kit/httpapi/problem"
)

// Stripe reports what became of its pages. A report becomes a command for payments, which is
// stored durably before Stripe gets its 200, whether payments is up or not. Stripe repeats what gets no
// 200, and sends reports late and in any order. Each has an id, and so has its command, so it
// takes effect once.

const (
	stripeName      = "stripe"
	stripeTolerance = 5 * time.Minute
	maxReport       = 256 << 10
)

// stripeReport is what the shop reads of an event of Stripe. Everything else, such as who pays, is
// left out.
type stripeReport struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Data struct {
		Object struct {
			ID            string          `json:"id"`
			Status        string          `json:"status"`
			PaymentStatus string          `json:"payment_status"`
			PaymentIntent json.RawMessage `json:"payment_intent"` // an id, an object with one, or null
			AmountTotal   int64           `json:"amount_total"`
			Amount        int64           `json:"amount"`
			Currency      string          `json:"currency"`
			Metadata      struct {
				PaymentID string `json:"payment_id"`
				Attempt   string `json:"attempt"`
			} `json:"metadata"`
		} `json:"object"`
	} `json:"data"`
}

func (g *gateway) takeStripeReport(c *httpapi.Call) error {
	body, release, err := httpapi.RawBody(c, maxReport)
	if err != nil {
		return err
	}
	defer release()
	if err := checkStripeSignature(c.Request.Header.Values("Stripe-Signature"), body, g.StripeSecrets, time.Now()); err != nil {
		return err
	}
	var report stripeReport
	if json.Unmarshal(body, &report) != nil || events.Text("id", report.ID, 1, 255) != nil {
		return problem.Malformed("the body is no event of Stripe")
	}
	if cmd, ours := report.command(); ours {
		actor := eventlog.Actor{ID: command.ProviderActor(stripeName)}
		env := eventlog.Envelope{ID: eventlog.DeriveID(stripeName, report.ID), Actor: actor}
		if err := cmd.Check(); err != nil {
			return err // cannot be: see command
		}
		if err := g.Client.Defer(c.Request.Context(), cmd, env); err != nil {
			return err
		}
	}
	return c.WriteJSON(http.StatusOK, struct{}{})
}

// command returns the command that a report becomes. Ours is false for a report that says nothing
// which the shop wants to know.
func (r stripeReport) command() (cmd command.ReportPayment, ours bool) {
	object := r.Data.Object
	cmd = command.ReportPayment{Provider: stripeName, Report: r.ID, PaymentID: events.PaymentID(object.Metadata.PaymentID),
		Capture: text(r.paymentIntent()), Currency: currencyCode(object.Currency)}
	if !events.IsToken(object.Metadata.PaymentID) {
		cmd.PaymentID = ""
	}
	cmd.Attempt, _ = strconv.Atoi(object.Metadata.Attempt)
	switch r.Type {
	case "checkout.session.completed":
		if object.PaymentStatus == "unpaid" {
			return cmd, false // the money is on its way: one of the next two reports follows
		}
		cmd.Outcome = command.Pay
	case "checkout.session.async_payment_succeeded":
		cmd.Outcome = command.Pay
	case "checkout.session.async_payment_failed":
		cmd.Outcome = command.Decline
	case "checkout.session.expired":
		cmd.Outcome = command.Expire
	case "charge.dispute.created":
		cmd.Outcome, cmd.Amount = command.Dispute, object.Amount
		return cmd, true
	case "refund.failed":
		cmd.Outcome, cmd.Amount = command.RefundFailure, object.Amount
		return cmd, true
	default:
		return cmd, false
	}
	cmd.Reference, cmd.Amount = text(object.ID), object.AmountTotal
	return cmd, true
}

func (r stripeReport) paymentIntent() (id string) {
	if json.Unmarshal(r.Data.Object.PaymentIntent, &id) == nil {
		return id
	}
	var expanded struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(r.Data.Object.PaymentIntent, &expanded)
	return expanded.ID
}

// text returns a text that a command may hold, "" if it is none.
func text(s string) string {
	if events.Text("", s, 0, 255) != nil {
		return ""
	}
	return s
}

func currencyCode(s string) string {
	if events.Text("", s, 0, 10) != nil {
		return ""
	}
	return strings.ToUpper(s)
}

// checkStripeSignature checks that a body was signed with one of the secrets a short time ago:
// "t=<unix time>,v1=<hex>", where there is a v1 for each secret that Stripe has.
func checkStripeSignature(headers []string, body []byte, secrets []string, now time.Time) error {
	wrong := problem.Malformed("the signature of the request is not one of Stripe; see Stripe-Signature")
	if len(headers) != 1 {
		return wrong
	}
	var at string
	var signatures [][]byte
	for part := range strings.SplitSeq(headers[0], ",") {
		switch key, value, _ := strings.Cut(part, "="); key {
		case "t":
			at = value
		case "v1":
			if signature, err := hex.DecodeString(value); err == nil {
				signatures = append(signatures, signature)
			}
		}
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > stripeTolerance {
		return problem.Malformed("the request was signed too long ago, or the clock is wrong; see Stripe-Signature")
	}
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(at + "."))
		mac.Write(body)
		if want := mac.Sum(nil); slices.ContainsFunc(signatures, func(s []byte) bool { return hmac.Equal(s, want) }) {
			return nil
		}
	}
	return wrong
}

// CheckStripeSecrets returns an error if these are not secrets of webhooks at Stripe.
func CheckStripeSecrets(secrets []string) error {
	for _, s := range secrets {
		if !strings.HasPrefix(s, "whsec_") || len(s) < 12 || strings.ContainsAny(s, " \t") {
			return errors.New("each line must be the signing secret of a webhook endpoint (whsec_…)")
		}
	}
	return nil
}

// stripeBody describes the body for the OpenAPI document. It is Stripe's.
func stripeBody(d *httpapi.RouteDetails) {
	d.RequestBody = &huma.RequestBody{Required: true, Description: "An event, as Stripe signed it",
		Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}}}}
	d.Parameters = append(d.Parameters, &huma.Param{Name: "Stripe-Signature", In: "header", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
}
