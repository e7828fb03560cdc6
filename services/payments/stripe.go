package payments

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bojanz/currency"
	"github.com/stripe/stripe-go/v85"

	"lonja/events"
	"lonja/kit/service"
)

// stripeName is what events call Stripe.
const stripeName = "stripe"

// stripeProvider takes money with Stripe's Checkout Sessions: pages of Stripe's own, so no data of
// a card touches the shop. What becomes of a page is reported to the gateway (POST
// /webhooks/stripe).
//
// A page has one line, the order, and not one for each of its lines: payments knows only the
// amount, as other services' events are not its business; and Stripe takes a hundred lines at
// most.
type stripeProvider struct {
	client    *stripe.Client
	returnURL string
}

// openStripe returns Stripe as a provider. It asks nobody.
func openStripe(s Settings) (Provider, error) {
	switch back, err := url.Parse(s.ReturnURL); {
	case s.StripeKey == "":
		return nil, errors.New("it needs a secret key; give the file that holds it with --stripe-key-file")
	case !strings.HasPrefix(s.StripeKey, "sk_") && !strings.HasPrefix(s.StripeKey, "rk_") || strings.ContainsAny(s.StripeKey, " \t\r\n"):
		return nil, errors.New("the file of --stripe-key-file must hold one secret key (sk_…) or restricted key (rk_…), and nothing else")
	case err != nil || back.Scheme != "https" && back.Scheme != "http" || back.Host == "":
		return nil, errors.New("it needs an absolute URL to send customers back to; give it with --payment-return-url")
	}
	config := &stripe.BackendConfig{
		HTTPClient:        &http.Client{Timeout: 9 * time.Second}, // less than an effect's
		MaxNetworkRetries: stripe.Int64(0),                        // effects are tried again
		EnableTelemetry:   stripe.Bool(false),
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull}, // it would log what must not be
	}
	if s.StripeAPI != "" {
		if api, err := url.Parse(s.StripeAPI); err != nil || api.Host == "" {
			return nil, errors.New("--stripe-api must be an absolute URL, such as http://127.0.0.1:12111")
		}
		config.URL = stripe.String(strings.TrimSuffix(s.StripeAPI, "/"))
	}
	return stripeProvider{stripe.NewClient(s.StripeKey, stripe.WithBackends(stripe.NewBackendsWithConfig(config))), s.ReturnURL}, nil
}

func (stripeProvider) Name() string { return stripeName }

func (stripeProvider) Link(events.PaymentID) string { return "" }

func (s stripeProvider) Open(ctx context.Context, key string, a Attempt) (Page, error) {
	amount, code, err := s.Units(a.Amount)
	if err != nil {
		return Page{}, err
	}
	back := strings.ReplaceAll(s.returnURL, "{order}", url.QueryEscape(string(a.OrderID)))
	about := map[string]string{"order_id": string(a.OrderID), "payment_id": string(a.PaymentID), "attempt": strconv.Itoa(a.Number)}
	session := &stripe.CheckoutSessionCreateParams{
		Mode:              stripe.String(string(stripe.CheckoutSessionModePayment)),
		ClientReferenceID: stripe.String(string(a.OrderID)),
		SuccessURL:        stripe.String(back),
		CancelURL:         stripe.String(back),
		ExpiresAt:         stripe.Int64(expiryOf(a).Unix()),
		Metadata:          about,
		PaymentIntentData: &stripe.CheckoutSessionCreatePaymentIntentDataParams{Metadata: about},
		LineItems: []*stripe.CheckoutSessionCreateLineItemParams{{
			Quantity: stripe.Int64(1),
			PriceData: &stripe.CheckoutSessionCreateLineItemPriceDataParams{
				Currency: stripe.String(code), UnitAmount: stripe.Int64(amount),
				ProductData: &stripe.CheckoutSessionCreateLineItemPriceDataProductDataParams{Name: stripe.String("Order " + string(a.OrderID))},
			},
		}},
	}
	session.SetIdempotencyKey(key)
	made, err := s.client.V1CheckoutSessions.Create(ctx, session)
	switch {
	case err != nil:
		return Page{}, stripeError(err)
	case made.ID == "" || made.URL == "":
		return Page{}, errors.New("stripe answered without a page")
	}
	return Page{Reference: made.ID, URL: made.URL}, nil
}

// A page lives between half an hour and a day at Stripe.
const (
	shortestPage = 31 * time.Minute
	longestPage  = 24*time.Hour - time.Minute
)

// expiryOf returns when Stripe closes a page by itself. The shop does so at its own deadline; this
// is later, as Stripe's shortest time may be longer than what is left. It depends on nothing that
// differs between two calls under one key.
func expiryOf(a Attempt) time.Time {
	at, latest := a.ExpiresAt.Add(shortestPage), a.AskedAt.Add(longestPage)
	if at.After(latest) {
		return latest
	}
	return at
}

// Close expires a page. One that is complete or has expired takes nothing any more.
func (s stripeProvider) Close(ctx context.Context, key string, page string) error {
	expire := &stripe.CheckoutSessionExpireParams{}
	expire.SetIdempotencyKey(key)
	_, err := s.client.V1CheckoutSessions.Expire(ctx, page, expire)
	if failed := stripeError(err); failed == nil || !isRejected(err) {
		return failed
	}
	// Stripe refuses to expire what is not open, with an error that has no code of its own.
	found, getErr := s.client.V1CheckoutSessions.Retrieve(ctx, page, nil)
	switch {
	case getErr != nil:
		return stripeError(getErr)
	case found.Status != stripe.CheckoutSessionStatusOpen:
		return nil
	}
	return stripeError(err)
}

// Refund gives back money of a payment intent.
func (s stripeProvider) Refund(ctx context.Context, key string, r Refund) error {
	amount, _, err := s.Units(r.Amount)
	if err != nil {
		return err
	}
	refund := &stripe.RefundCreateParams{
		PaymentIntent: stripe.String(r.Capture), Amount: stripe.Int64(amount),
		Metadata: map[string]string{"order_id": string(r.OrderID), "payment_id": string(r.PaymentID)},
	}
	refund.SetIdempotencyKey(key)
	made, err := s.client.V1Refunds.Create(ctx, refund)
	if err != nil {
		return stripeError(err)
	}
	if made.Status == stripe.RefundStatusFailed || made.Status == stripe.RefundStatusCanceled {
		return service.Permanent(fmt.Errorf("stripe made the refund %s, but it is %s", made.ID, made.Status))
	}
	return nil
}

// stripeDecimals has the currencies whose amounts Stripe does not count in hundredths. Those with
// three decimals must be multiples of ten. ISK and UGX, which have no decimals, are not in it:
// Stripe counts them in hundredths, for compatibility.
var stripeDecimals = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "JPY": 0, "KMF": 0, "KRW": 0, "MGA": 0, "PYG": 0, "RWF": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3,
}

// Units converts minor units, which have the decimals of ISO 4217, to Stripe's.
func (stripeProvider) Units(m events.Money) (int64, string, error) {
	ours, known := currency.GetDigits(m.Currency)
	theirs, listed := stripeDecimals[m.Currency]
	if !listed {
		theirs = 2
	}
	amount := m.Amount
	for n := int(ours); n < theirs; n++ {
		amount *= 10 // far from an overflow: see events.MaxAmount
	}
	for n := int(ours); n > theirs; n-- {
		if amount%10 != 0 {
			return 0, "", service.Permanent(fmt.Errorf("stripe counts %s without decimals, so it does not take %s", m.Currency, m))
		}
		amount /= 10
	}
	switch {
	case !known:
		return 0, "", service.Permanent(fmt.Errorf("%s is no currency", m.Currency))
	case theirs == 3 && amount%10 != 0:
		return 0, "", service.Permanent(fmt.Errorf("stripe takes %s in hundredths, so it does not take %s", m.Currency, m))
	}
	return amount, strings.ToLower(m.Currency), nil
}

// isRejected reports whether Stripe says that a call is wrong as it is.
func isRejected(err error) bool {
	var e *stripe.Error
	return errors.As(err, &e) && e.HTTPStatusCode == http.StatusBadRequest
}

// stripeError says what is wrong with a call without Stripe's own words, which may show a part of
// the key, or what a customer wrote. The request's id leads to them in Stripe's dashboard. A call
// that would fail again in the same way is a service.Permanent one.
func stripeError(err error) error {
	var e *stripe.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &e):
		var broken *url.Error
		if errors.As(err, &broken) { // its own text has the whole address
			return fmt.Errorf("stripe cannot be reached: %w", broken.Err)
		}
		return errors.New("stripe's answer cannot be read") // the error shows a part of it
	}
	var header http.Header
	if e.LastResponse != nil {
		header = e.LastResponse.Header
	}
	text := "stripe answered " + strconv.Itoa(e.HTTPStatusCode)
	for _, part := range [][2]string{{"type", string(e.Type)}, {"code", string(e.Code)}, {"parameter", e.Param}, {"request", cmp.Or(e.RequestID, header.Get("Request-Id"))}} {
		if part[1] != "" {
			text += ", " + part[0] + " " + part[1]
		}
	}
	return classify(errors.New(text), e.HTTPStatusCode, header)
}

// classify says whether a call may be made again, and when. What Stripe itself says of that comes
// first. A wrong key (401, 403) may be replaced by a right one, so that is not permanent.
func classify(err error, status int, header http.Header) error {
	again := status >= 500 || status == http.StatusTooManyRequests || status == http.StatusConflict ||
		status == http.StatusUnauthorized || status == http.StatusForbidden
	if told := header.Get("Stripe-Should-Retry"); told == "true" || told == "false" {
		again = told == "true"
	}
	if !again {
		return service.Permanent(err)
	}
	if seconds, notNumber := strconv.Atoi(header.Get("Retry-After")); notNumber == nil && seconds > 0 {
		return service.RetryAfter(err, min(time.Duration(seconds)*time.Second, time.Hour))
	}
	return err
}
