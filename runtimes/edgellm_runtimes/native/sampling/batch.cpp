#include "batch.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace edgellm::sampling {
namespace {

constexpr size_t kWorthAThread = 1u << 18;  // logits: below, waking a thread costs more than it saves

Workspace &this_thread_workspace() {
    thread_local Workspace workspace;
    return workspace;
}

// Threads that wait for work. One job at a time; the caller works too.
class Pool {
  public:
    ~Pool() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            ending_ = true;
        }
        wake_.notify_all();
        for (std::thread &thread : threads_) thread.join();
    }

    template <class Work>
    void run(unsigned helpers, size_t count, Work work) {
        const std::lock_guard<std::mutex> one_job(jobs_);
        while (threads_.size() < helpers) threads_.emplace_back([this, n = threads_.size()] { serve(n); });
        std::atomic<size_t> next{0};
        const auto loop = [&] {
            for (size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) work(i);
        };
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            call_ = [](void *data) { (*static_cast<decltype(loop) *>(data))(); };
            data_ = const_cast<void *>(static_cast<const void *>(&loop));
            wanted_ = helpers;
            running_ = helpers;
            ++job_;
        }
        wake_.notify_all();
        loop();
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [this] { return running_ == 0; });
    }

  private:
    void serve(size_t number) {
        uint64_t seen = 0;
        std::unique_lock<std::mutex> lock(mutex_);
        while (true) {
            wake_.wait(lock, [&] { return ending_ || (job_ != seen && number < wanted_); });
            if (ending_) return;
            seen = job_;
            lock.unlock();
            call_(data_);
            lock.lock();
            if (--running_ == 0) done_.notify_one();
        }
    }

    std::mutex jobs_, mutex_;
    std::condition_variable wake_, done_;
    std::vector<std::thread> threads_;
    void (*call_)(void *) = nullptr;
    void *data_ = nullptr;
    size_t wanted_ = 0, running_ = 0;
    uint64_t job_ = 0;
    bool ending_ = false;
};

// Never destroyed: an interpreter that ends must not wait for a thread that waits for work.
std::atomic<Pool *> shared_pool{nullptr};

Pool &pool() {
    static const bool is_prepared = [] {
#if defined(__unix__) || defined(__APPLE__)
        // A forked process has none of the threads: it must not wait for them.
        pthread_atfork(nullptr, nullptr, [] { shared_pool.store(nullptr); });
#endif
        return true;
    }();
    static_cast<void>(is_prepared);
    Pool *found = shared_pool.load();
    if (found) return *found;
    Pool *made = new Pool;
    if (shared_pool.compare_exchange_strong(found, made)) return *made;
    delete made;  // another thread was faster
    return *found;
}

}  // namespace

void choose_all(const Kernels &kernels, const std::vector<RowTask> &tasks, size_t n_vocab, unsigned threads) {
    const auto work = [&](size_t i) {
        const RowTask &task = tasks[i];
        choose(kernels, this_thread_workspace(), *task.sequence, task.logits, n_vocab, task.mask, task.uniforms,
               *task.choice);
    };
    const size_t useful = std::min<size_t>({threads, tasks.size(), tasks.size() * n_vocab / kWorthAThread});
    if (useful < 2) {
        for (size_t i = 0; i < tasks.size(); ++i) work(i);
        return;
    }
    pool().run(static_cast<unsigned>(useful - 1), tasks.size(), work);
}

}  // namespace edgellm::sampling
