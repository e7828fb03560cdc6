package gateway

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"mime"
	"net/http"
	"net/url"

	"github.com/bojanz/currency"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/httpapi"
)

// The sandbox is a payment provider without money: anybody with a payment's link can settle
// it. Its page works without scripts.

//go:embed sandbox.html
var sandboxHTML string

//go:embed sandbox.css
var sandboxCSS string

var (
	sandboxPage   = template.Must(template.New("sandbox").Parse(sandboxHTML))
	sandboxPolicy = "default-src 'none'; style-src 'sha256-" + hashOf(sandboxCSS) + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

type settlement struct {
	Outcome string `json:"outcome" enum:"pay,decline"`
}

func showPayment(c *httpapi.Call) error {
	id := events.PaymentID(c.Request.PathValue("id"))
	if err := checkID(id); err != nil {
		return err
	}
	resp, err := c.QueryAndRespond(query.Payment{PaymentID: id})
	if err != nil {
		return err
	}
	if prefersJSON(c.Request) {
		return c.WriteJSON(http.StatusOK, json.RawMessage(resp.Body))
	}
	return showSandbox(c, http.StatusOK, resp.Body, "")
}

func settlePayment(c *httpapi.Call) error {
	id := events.PaymentID(c.Request.PathValue("id"))
	if err := checkID(id); err != nil {
		return err
	}
	if kind, _, err := mime.ParseMediaType(c.Request.Header.Get("Content-Type")); err == nil && kind == "application/x-www-form-urlencoded" {
		return settleByForm(c, id)
	}
	choice, err := httpapi.Body[settlement](c)
	if err != nil {
		return err
	}
	resp, err := c.SendAndRespond(command.SettlePayment{PaymentID: id, Outcome: choice.Outcome})
	if err != nil {
		return err
	}
	c.Writer.Header().Set("Consistency-Token", resp.ConsistencyToken)
	return c.WriteJSON(http.StatusOK, json.RawMessage(resp.Body))
}

// settleByForm redirects the browser to the page, which then shows the result. A conflict is
// shown on the page, too.
func settleByForm(c *httpapi.Call, id events.PaymentID) error {
	form, err := c.Form("outcome")
	if err != nil {
		return err
	}
	resp, err := c.SendAndRespond(command.SettlePayment{PaymentID: id, Outcome: form.Get("outcome")})
	var conflict *errs.Error
	if errors.As(err, &conflict) && conflict.Code == errs.Conflict {
		payment, queryErr := c.QueryAndRespond(query.Payment{PaymentID: id})
		if queryErr != nil {
			return err
		}
		return showSandbox(c, http.StatusConflict, payment.Body, conflict.Detail)
	}
	if err != nil {
		return err
	}
	c.Writer.Header().Set("Consistency-Token", resp.ConsistencyToken)
	http.Redirect(c.Writer, c.Request, "/sandbox/payments/"+string(id)+"?after="+url.QueryEscape(resp.ConsistencyToken), http.StatusSeeOther)
	return nil
}

// outcomes are the page's texts for a payment that is no longer pending.
var outcomes = map[string]string{
	query.PaymentCaptured: "Paid. Thank you!",
	query.PaymentDeclined: "The payment was declined.",
	query.PaymentExpired:  "The time to pay is over.",
	query.PaymentVoided:   "The order was cancelled; there is nothing to pay.",
	query.PaymentRefunded: "The money was sent back.",

	query.PaymentPartiallyRefunded: "Paid. Some of the money was sent back.",
}

func showSandbox(c *httpapi.Call, status int, body []byte, notice string) error {
	var p query.PaymentView
	if err := json.Unmarshal(body, &p); err != nil {
		return err
	}
	sum, err := currency.NewAmountFromInt64(p.Amount.Amount, p.Amount.Currency)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	outcome := outcomes[p.Status]
	switch {
	case p.Failed != "":
		outcome = "This attempt to pay failed. Another one can be made from the order."
	case p.Status == query.PaymentPending && p.Provider != "sandbox":
		outcome = "The order is paid elsewhere."
	}
	err = sandboxPage.Execute(&page, map[string]any{
		"CSS": template.CSS(sandboxCSS), "Payment": p, "Sum": sum.Number(), "Notice": notice,
		"Pending": p.Status == query.PaymentPending && outcome == "", "Outcome": outcome, "Pay": command.Pay, "Decline": command.Decline,
	})
	if err != nil {
		return err
	}
	h := c.Writer.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", sandboxPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	c.Writer.WriteHeader(status)
	_, _ = c.Writer.Write(page.Bytes())
	return nil
}
