#pragma once

#include <cassert>

namespace veredus::dns {

template <class T>
class List;

// What lets a T stand in one List<T>. A node that is destroyed leaves its list by itself, so a
// waiter may go at any time.
template <class T>
class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { unlink(); }

  bool linked() const { return list_ != nullptr; }
  void unlink() {
    if (list_ != nullptr) list_->remove(*this);
  }

 private:
  friend class List<T>;
  ListNode* previous_ = nullptr;
  ListNode* next_ = nullptr;
  List<T>* list_ = nullptr;
};

// Doubly linked list of members of others: it owns nothing and allocates nothing.
template <class T>
class List {
 public:
  List() = default;
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() {
    while (first_ != nullptr) remove(*first_);
  }

  bool empty() const { return first_ == nullptr; }
  T* front() { return static_cast<T*>(first_); }
  T* back() { return static_cast<T*>(last_); }

  void push_back(ListNode<T>& node) {
    assert(!node.linked());
    node.list_ = this;
    node.previous_ = last_;
    node.next_ = nullptr;
    (last_ != nullptr ? last_->next_ : first_) = &node;
    last_ = &node;
  }

  T* pop_front() {
    if (first_ == nullptr) return nullptr;
    T* taken = front();
    remove(*first_);
    return taken;
  }

  void remove(ListNode<T>& node) {
    assert(node.list_ == this);
    (node.previous_ != nullptr ? node.previous_->next_ : first_) = node.next_;
    (node.next_ != nullptr ? node.next_->previous_ : last_) = node.previous_;
    node.list_ = nullptr;
    node.previous_ = node.next_ = nullptr;
  }

 private:
  ListNode<T>* first_ = nullptr;
  ListNode<T>* last_ = nullptr;
};

}  // namespace veredus::dns
