package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const namespace = "default"

// silence is a logger that says nothing.
type silence struct{}

func (silence) Debug(string, ...any) {}
func (silence) Info(string, ...any)  {}
func (silence) Warn(string, ...any)  {}
func (silence) Error(string, ...any) {}

// session is one scenario on one server: its names, its workers, and what it noted.
type session struct {
	ctx       context.Context
	client    client.Client
	token     string
	id        string
	taskQueue string
	result    map[string]any
	runs      [][2]string

	mutex   sync.Mutex
	workers []worker.Worker
}

func newSession(ctx context.Context, connection client.Client, name, token string) *session {
	s := &session{ctx: ctx, client: connection, token: token, result: map[string]any{}, runs: [][2]string{}}
	s.id = s.name(name)
	s.taskQueue = s.name(name + "-queue")
	return s
}

// name returns a name of this run alone.
func (s *session) name(word string) string { return word + "-" + s.token }

// note records what a scenario saw.
func (s *session) note(key string, value any) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err, ok := value.(error); ok {
		value = told(err)
	}
	s.result[key] = value
}

// register makes a worker that is not started yet.
func (s *session) register(options worker.Options, things ...any) worker.Worker {
	w := worker.New(s.client, s.taskQueue, options)
	for _, thing := range things {
		switch known := thing.(type) {
		case flow:
			w.RegisterWorkflowWithOptions(known.function, workflow.RegisterOptions{Name: known.name})
		case act:
			w.RegisterActivityWithOptions(known.function, activity.RegisterOptions{Name: known.name})
		default:
			panic(fmt.Sprintf("neither workflow nor activity: %T", thing))
		}
	}
	return w
}

// flow and act are a workflow and an activity with the names they are registered by.
type flow struct {
	name     string
	function any
}

type act struct {
	name     string
	function any
}

// work starts a worker; it is stopped at the end of the scenario.
func (s *session) work(things ...any) worker.Worker {
	return s.workWith(worker.Options{}, things...)
}

func (s *session) workWith(options worker.Options, things ...any) worker.Worker {
	w := s.register(options, things...)
	if err := w.Start(); err != nil {
		panic(err)
	}
	s.workers = append(s.workers, w)
	return w
}

func (s *session) stopWorkers() {
	for _, w := range s.workers {
		w.Stop()
	}
	s.workers = nil
}

func (s *session) options() client.StartWorkflowOptions {
	return client.StartWorkflowOptions{ID: s.id, TaskQueue: s.taskQueue, WorkflowExecutionErrorWhenAlreadyStarted: true}
}

// start starts a workflow by name with the id of the scenario.
func (s *session) start(name string, args ...any) client.WorkflowRun {
	return s.startWith(s.options(), name, args...)
}

func (s *session) startWith(options client.StartWorkflowOptions, name string, args ...any) client.WorkflowRun {
	run, err := s.client.ExecuteWorkflow(s.ctx, options, name, args...)
	if err != nil {
		panic(err)
	}
	s.saw(run)
	return run
}

// saw makes the histories of a workflow part of what is compared.
func (s *session) saw(run client.WorkflowRun) { s.sawID(run.GetID(), run.GetRunID()) }

// sawID is saw for those that know no more than the ids.
func (s *session) sawID(id, runID string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if run := [2]string{id, runID}; !slices.Contains(s.runs, run) {
		s.runs = append(s.runs, run)
	}
}

// await notes the result of a run, or the error it ended with.
func (s *session) await(key string, run client.WorkflowRun) {
	var value any
	if err := run.Get(s.ctx, &value); err != nil {
		s.note(key, err)
		return
	}
	s.note(key, value)
}

// settled waits until the workflow has had its first task and waits for something.
func (s *session) settled(id string) {
	s.until(func() bool {
		reply, err := s.client.WorkflowService().DescribeWorkflowExecution(s.ctx, &workflowservice.DescribeWorkflowExecutionRequest{
			Namespace: namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: id},
		})
		return err == nil && reply.PendingWorkflowTask == nil && reply.WorkflowExecutionInfo.HistoryLength >= 4
	})
}

// secondTask is the length of a history whose second workflow task is started.
const secondTask = 6

// reached waits until the history of the workflow is that long.
func (s *session) reached(id string, length int64) {
	s.until(func() bool {
		found, err := s.client.DescribeWorkflowExecution(s.ctx, id, "")
		return err == nil && found.WorkflowExecutionInfo.HistoryLength >= length
	})
}

// until repeats a look until it is true.
func (s *session) until(condition func() bool) {
	for !condition() {
		select {
		case <-s.ctx.Done():
			panic("what the scenario waits for did not happen")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// must panics with an error that the scenario does not expect.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// told makes of an error the chain of types and messages that a program can tell apart.
func told(err error) any {
	var chain []any
	for err != nil {
		item := map[string]any{"type": fmt.Sprintf("%T", err), "message": err.Error()}
		var application *temporal.ApplicationError
		if errors.As(err, &application) && application == err {
			item["kind"] = application.Type()
			item["final"] = application.NonRetryable()
			var details any
			if application.HasDetails() && application.Details(&details) == nil {
				item["details"] = details
			}
		}
		if service, ok := err.(serviceerror.ServiceError); ok {
			item["code"] = service.Status().Code().String()
		}
		chain = append(chain, item)
		err = errors.Unwrap(err)
	}
	return map[string]any{"error": chain}
}
