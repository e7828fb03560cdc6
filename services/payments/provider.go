package payments

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"lonja/events"
)

// Provider takes money from customers and gives it back. The methods with a context ask somebody
// outside. Each call may be made several times: equal keys mean that it is the same one, and must
// have the effect of one. An error is tried again later unless it is a service.Permanent one; it is
// logged and recorded, so it must contain nothing secret.
type Provider interface {
	// Name is what events call the provider, so it must never change.
	Name() string
	// Link returns where a payment is made, if that is known without a question. Otherwise it is "",
	// and Open is called.
	Link(id events.PaymentID) string
	// Units returns an amount as the provider counts it, in its reports, too. The error is a
	// service.Permanent one: the provider does not take such an amount.
	Units(m events.Money) (amount int64, currency string, err error)
	// Open asks for a page at which one attempt is paid.
	Open(ctx context.Context, key string, a Attempt) (Page, error)
	// Close sees to it that a page takes no money any more. It is nil if it has taken some already:
	// that is reported on its own.
	Close(ctx context.Context, key string, page string) error
	// Refund gives back a part of what was captured, or all. A refund that failed for good is asked for
	// again under another key; one that got no answer, under the same one.
	Refund(ctx context.Context, key string, r Refund) error
}

// Attempt is one attempt to pay for an order.
type Attempt struct {
	PaymentID events.PaymentID
	OrderID   events.OrderID
	Number    int // from 1 on
	Amount    events.Money
	AskedAt   time.Time // when the provider was to be asked first: the same in each call
	ExpiresAt time.Time // when the shop no longer waits
}

// Page is where an attempt is paid.
type Page struct {
	Reference string // the provider's name for it
	URL       string
}

// Refund is money that goes back.
type Refund struct {
	ID        events.RefundID // the same in each call for it, whatever the key
	PaymentID events.PaymentID
	OrderID   events.OrderID
	Capture   string // the provider's name for the money that it took, as it was reported; "" in the sandbox
	Amount    events.Money
}

// Settings are what providers are opened with.
type Settings struct {
	// ReturnURL is where a customer comes back to from a provider's page. {order} stands for the
	// order's id.
	ReturnURL string
	// StripeKey is the secret key of the account at Stripe.
	StripeKey string
	// StripeAPI is the address of Stripe's API; "" means its own.
	StripeAPI string
}

// registry has every provider. A new one needs its line here, and a file of its own.
var registry = map[string]func(Settings) (Provider, error){
	sandboxName: func(Settings) (Provider, error) { return Sandbox(), nil },
	stripeName:  openStripe,
}

// OpenProviders returns the providers with these names. The error says what a provider lacks.
func OpenProviders(names []string, settings Settings) ([]Provider, error) {
	var all providers
	for _, name := range names {
		open, known := registry[name]
		if !known {
			return nil, fmt.Errorf("there is no provider %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(registry)), ", "))
		}
		if all.named(name) != nil {
			return nil, fmt.Errorf("the provider %s is named twice", name)
		}
		provider, err := open(settings)
		if err != nil {
			return nil, fmt.Errorf("provider %s: %w", name, err)
		}
		all = append(all, provider)
	}
	return all, nil
}

// providers are those of Config.Providers.
type providers []Provider

// named returns the provider with a name, nil if it is not configured.
func (all providers) named(name string) Provider {
	for _, p := range all {
		if p.Name() == name {
			return p
		}
	}
	return nil
}

// first returns the provider of new orders. Without any, it is the sandbox, which then takes
// nothing.
func (all providers) first() Provider {
	if len(all) == 0 {
		return sandbox{}
	}
	return all[0]
}

func (all providers) names() string {
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.Name()
	}
	return strings.Join(names, ", ")
}
