package harness

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/erlang-operator/erlang-operator/test/await"
)

// AMQP is traffic by way of a quorum queue: messages that the broker has confirmed, and
// messages that were consumed.
type AMQP struct {
	url     string
	publish context.CancelFunc
	ended   sync.WaitGroup

	sync.Mutex
	confirmed, consumed map[string]bool
	slowest             time.Duration
	reconnects          int
}

const amqpQueue = "orders"

// StartAMQP starts that many publishers, and a consumer. Each connects again when its
// connection is lost.
func StartAMQP(t testing.TB, url string, publishers int) *AMQP {
	t.Helper()
	a := &AMQP{url: url, confirmed: map[string]bool{}, consumed: map[string]bool{}}
	publishing, stop := context.WithCancel(t.Context())
	a.publish = stop
	t.Cleanup(stop)
	for number := range publishers {
		sent := 0
		a.ended.Go(func() {
			a.keep(publishing, func(ctx context.Context, channel *amqp.Channel) error {
				return a.publishTo(ctx, channel, func() string { sent++; return fmt.Sprintf("%d-%d", number, sent) })
			})
		})
	}
	go a.keep(t.Context(), a.consumeFrom)
	return a
}

// keep calls do with a channel, and with another one when that is lost.
func (a *AMQP) keep(ctx context.Context, do func(context.Context, *amqp.Channel) error) {
	for ctx.Err() == nil {
		_ = a.connected(ctx, do) // The check of the messages shows what came of it.
		a.Lock()
		a.reconnects++
		a.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond): // until the next try
		}
	}
}

func (a *AMQP) connected(ctx context.Context, do func(context.Context, *amqp.Channel) error) error {
	connection, err := amqp.DialConfig(a.url, amqp.Config{Dial: amqp.DefaultDial(5 * time.Second), Heartbeat: 5 * time.Second})
	if err != nil {
		return err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if _, err := channel.QueueDeclare(amqpQueue, true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
		return err
	}
	return do(ctx, channel)
}

// publishTo publishes one message after the other, and waits for each to be confirmed.
func (a *AMQP) publishTo(ctx context.Context, channel *amqp.Channel, next func() string) error {
	if err := channel.Confirm(false); err != nil {
		return err
	}
	for ctx.Err() == nil {
		message, begun := next(), time.Now()
		confirmation, err := channel.PublishWithDeferredConfirmWithContext(ctx, "", amqpQueue, true, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(message)})
		if err != nil {
			return err
		}
		within, cancel := context.WithTimeout(ctx, 15*time.Second)
		acknowledged, err := confirmation.WaitContext(within)
		cancel()
		if err != nil || !acknowledged {
			return errors.Join(err, errors.New("not confirmed"))
		}
		a.Lock()
		a.confirmed[message], a.slowest = true, max(a.slowest, time.Since(begun))
		a.Unlock()
	}
	return nil
}

func (a *AMQP) consumeFrom(ctx context.Context, channel *amqp.Channel) error {
	deliveries, err := channel.ConsumeWithContext(ctx, amqpQueue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	for delivery := range deliveries {
		a.Lock()
		a.consumed[string(delivery.Body)] = true
		a.Unlock()
		if err := delivery.Ack(false); err != nil {
			return err
		}
	}
	return errors.New("the channel is closed")
}

func (a *AMQP) String() string {
	a.Lock()
	defer a.Unlock()
	return fmt.Sprintf("%d messages confirmed, %d consumed, the slowest confirmed after %s, %d connections lost",
		len(a.confirmed), len(a.consumed), a.slowest.Round(time.Millisecond), a.reconnects)
}

// Check stops the publishers, and requires that every message that was confirmed is
// consumed.
func (a *AMQP) Check(t testing.TB) {
	t.Helper()
	a.publish()
	a.ended.Wait()
	await.Until(t, 3*time.Minute, "every confirmed message is consumed", func(context.Context) error { return a.missing() })
	t.Logf("AMQP: %s", a)
}

func (a *AMQP) missing() error {
	a.Lock()
	defer a.Unlock()
	if len(a.confirmed) == 0 {
		return errors.New("no message was confirmed")
	}
	for message := range a.confirmed {
		if !a.consumed[message] {
			return fmt.Errorf("message %s was confirmed, and is not consumed", message)
		}
	}
	return nil
}
